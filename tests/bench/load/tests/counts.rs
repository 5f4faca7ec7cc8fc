//! Runs the benchmark with `--quick` and asserts its counts. No test asserts its times.

use std::process::Command;

use serde_json::{Value, json};

#[test]
fn oneflight_and_the_floor_make_one_request_per_herd_for_every_behaviour_of_the_upstream() {
    let output = Command::new(env!("CARGO_BIN_EXE_oneflight-bench-load"))
        .args(["--quick", "--json", "--case", "herd"])
        .output()
        .expect("a process");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows").iter();
    let of = |target: &str| {
        let rows = rows.clone().filter(|row| row["target"] == target);
        let found = |row: &Value| {
            let figures = &row["figures"];
            let counts = [&figures["upstream_requests"], &figures["outcomes"]];
            json!([row["case"], counts])
        };
        rows.map(found).collect::<Vec<_>>()
    };
    let expected = |failing: &str| {
        [
            ("herd of 100", "200"),
            ("herd of 100, no-store", "200"),
            ("herd of 100, 500", failing),
            ("herd of 100, closed before", "502"),
            ("herd of 100, closed midway", "502"),
            ("herd of 100, just expired", "200"),
            ("herd of 100, first leaves", "200"),
        ]
        .map(|(case, outcome)| json!([case, [[1, 1], { outcome: 100 }]]))
    };
    assert_eq!(of("floor"), expected("500"));
    assert_eq!(of("oneflight"), expected("502"));
}
