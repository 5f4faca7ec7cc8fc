//! The dashboard and the alert rules: Prometheus accepts them, and each alert fires for what it is named after.

use std::process::Command;

use oneflight_tests::artifacts;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, run};
use serde_json::{Value, json};

use crate::metrics::scrape;

/// What happens at one process while nothing is wrong. Values are those of promtool: a start, a step per minute, and how
/// many minutes.
const CALM: &[(&str, &str)] = &[
    ("oneflight_tasks", "10+0x30"),
    (
        r#"oneflight_callers_total{client="a",outcome="ok"}"#,
        "0+1000x30",
    ),
    (
        r#"oneflight_callers_total{client="a",outcome="not-found"}"#,
        "0+500x30",
    ),
    (
        r#"oneflight_callers_total{client="a",outcome="upstream-timeout"}"#,
        "0+10x30",
    ),
    (
        r#"oneflight_flights_total{client="a",outcome="ok"}"#,
        "0+500x30",
    ),
    (
        r#"oneflight_flights_total{client="a",outcome="upstream-timeout"}"#,
        "0+10x30",
    ),
    (
        r#"oneflight_flights_total{client="a",outcome="guest-trap"}"#,
        "3+0x30",
    ),
    (
        r#"oneflight_limits_total{client="a",outcome="executions"}"#,
        "3+0x30",
    ),
    (
        r#"oneflight_flights_waiting{client="a"}"#,
        "0 9 0 9 0 9 0 9 0 9 0 9 0 9 0 9 0 9 0 9 0 9",
    ),
    (
        r#"oneflight_answers_compared_total{client="a",outcome="equal"}"#,
        "0+100x30",
    ),
    (
        r#"oneflight_answers_compared_total{client="a",outcome="unequal"}"#,
        "0+0x30",
    ),
    (
        r#"oneflight_log_lines_lost_total{reason="limit"}"#,
        "7+0x30",
    ),
];

/// Each alert, with the series that make it fire: they replace or follow those of [`CALM`].
const ALERTS: &[(&str, &str, &str)] = &[
    ("OneflightAbsent", "oneflight_tasks", "_x30"),
    (
        "OneflightCallersFail",
        r#"oneflight_callers_total{client="a",outcome="upstream-timeout"}"#,
        "0+100x30",
    ),
    (
        "OneflightUpstreamFails",
        r#"oneflight_flights_total{client="a",outcome="upstream-timeout"}"#,
        "0+100x30",
    ),
    (
        "OneflightGuestFails",
        r#"oneflight_flights_total{client="a",outcome="guest-trap"}"#,
        "0+1x30",
    ),
    (
        "OneflightInternalError",
        r#"oneflight_callers_total{client="a",outcome="internal"}"#,
        "0+1x30",
    ),
    (
        "OneflightOverloaded",
        r#"oneflight_callers_total{client="a",outcome="overloaded"}"#,
        "0+1x30",
    ),
    (
        "OneflightLimitReached",
        r#"oneflight_limits_total{client="a",outcome="executions"}"#,
        "0+1x30",
    ),
    (
        "OneflightFlightsWait",
        r#"oneflight_flights_waiting{client="a"}"#,
        "1+0x30",
    ),
    (
        "OneflightAnswersDiffer",
        r#"oneflight_answers_compared_total{client="a",outcome="unequal"}"#,
        "0+2x30",
    ),
    (
        "OneflightLogLinesLost",
        r#"oneflight_log_lines_lost_total{reason="limit"}"#,
        "0+1x30",
    ),
];

async fn printed(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The expressions of the panels, with values for Grafana's variables.
async fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&printed(&["metrics", "dashboard"]).await).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
        .map(|expression| {
            [
                ("$__rate_interval", "5m"),
                ("$__range", "1h"),
                ("$instance", ".*"),
                ("$client", ".*"),
            ]
            .iter()
            .fold(expression.to_owned(), |text, (name, value)| {
                text.replace(name, value)
            })
        })
        .collect()
}

fn promtool(folder: &Folder, arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?} {output:?}");
}

/// A test of promtool: which alerts fire after 25 minutes, if one series is as `fault` says.
fn case(name: &str, fault: Option<(&str, &str)>, firing: &[&str]) -> Value {
    let calm = CALM.iter().copied();
    let kept = calm.filter(|(series, _)| fault.is_none_or(|(replaced, _)| replaced != *series));
    let series = kept.chain(fault);
    let series: Vec<_> = series
        .map(|(series, values)| json!({ "series": series, "values": values }))
        .collect();
    let firing = firing
        .iter()
        .map(|alert| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 }));
    json!({
        "name": name,
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{
            "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "25m",
            "exp_samples": firing.collect::<Vec<_>>(),
        }],
    })
}

#[tokio::test]
async fn each_alert_of_prometheus_fires_for_its_fault_alone() {
    let folder = Folder::new();
    let alerts = printed(&["metrics", "alerts"]).await;
    folder.write("alerts.yml", alerts.as_bytes());
    promtool(&folder, &["check", "rules", "alerts.yml"]);
    let defined: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .collect();
    let tested: Vec<_> = ALERTS.iter().map(|(alert, ..)| *alert).collect();
    assert_eq!(defined, tested);
    let mut cases = vec![case("nothing is wrong", None, &[])];
    for (alert, series, values) in ALERTS {
        cases.push(case(alert, Some((series, values)), &[alert]));
    }
    let tests =
        json!({ "rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": cases });
    // JSON is YAML.
    folder.write("test.yml", tests.to_string().as_bytes());
    promtool(&folder, &["test", "rules", "test.yml"]);
}

#[tokio::test]
async fn prometheus_accepts_the_expressions_of_the_dashboard() {
    let rules: Vec<_> = expressions()
        .await
        .into_iter()
        .enumerate()
        .map(|(nth, expression)| json!({ "record": format!("panel:{nth}"), "expr": expression }))
        .collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = Folder::new();
    folder.write("rules.yml", rules.to_string().as_bytes());
    promtool(&folder, &["check", "rules", "rules.yml"]);
}

#[tokio::test]
async fn every_metric_that_prometheus_is_queried_for_is_scraped() {
    let service = Service::start(&["--component", artifacts::MISBEHAVING]).await;
    let scraped = scrape(service.admin).await;
    let alerts = printed(&["metrics", "alerts"]).await;
    let queries = expressions().await.join("\n") + &alerts;
    let words = queries.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
    let mut names = 0;
    for name in words.filter(|word| word.starts_with("oneflight_")) {
        names += 1;
        let is_it = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        assert!(scraped.lines().any(is_it), "{name} is not in {scraped}");
    }
    assert!(names >= 30, "{names}");
}
