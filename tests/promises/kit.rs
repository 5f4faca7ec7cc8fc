//! `oneflight test`: what it finds in clients that keep the contract, and in those that do not.

use std::collections::BTreeSet;
use std::process::Output;

use oneflight_tests::artifacts;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::run;
use serde_json::Value;

use crate::typed::ORDER;

/// What is printed with `--json`.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The ids of the situations with this verdict.
fn ids(report: &Value, verdict: &str) -> BTreeSet<String> {
    let situations = report["situations"].as_array().unwrap().iter();
    let with = situations.filter(|of| of["verdict"] == verdict);
    with.map(|of| of["id"].as_str().unwrap().to_owned())
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().copied().map(str::to_owned).collect()
}

/// The situation with this id.
fn situation<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut situations = report["situations"].as_array().unwrap().iter();
    situations.find(|of| of["id"] == id).unwrap()
}

/// The number of situations.
const ALL: usize = 39;

#[tokio::test]
async fn the_built_in_client_passes_with_the_key_in_the_query_and_in_the_path() {
    for url in ["{upstream}", "{upstream}/items/{x}/parts"] {
        let setting = format!("BASE_URL={url}");
        let output = run(&["test", "--set", &setting, "--json"]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = report(&output);
        assert_eq!(report["component"], "the built-in client");
        assert_eq!(ids(&report, "advice"), set(&[]), "{report}");
        assert_eq!(
            (&report["passed"], ids(&report, "pass").len()),
            (&ALL.into(), ALL)
        );
    }
}

#[tokio::test]
async fn the_client_in_rust_of_the_readme_passes() {
    let output = run(&[
        "test",
        artifacts::README_CLIENT,
        "--set",
        "BASE_URL={upstream}/items",
        "--json",
    ])
    .await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    assert_eq!(ids(&report, "fail"), set(&[]), "{report}");
}

// fault 124
#[tokio::test]
async fn a_client_with_the_mistakes_of_a_first_attempt_fails_where_it_has_them() {
    let folder = Folder::new();
    let junit = folder.path().join("report.xml");
    let args = ["test", artifacts::NAIVE, "--json", "--junit"];
    let output = run(&[&args[..], &[junit.to_str().unwrap()]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = report(&output);
    let failed = [
        "key-reserved",
        "key-path",
        "key-fragment",
        "key-encoded",
        "key-plus",
        "key-dots",
        "key-lines",
        "key-unicode",
        "status-404",
        "body-html",
        "body-not-utf8",
        "body-bom",
        "body-other-form",
        "body-no-id",
        "body-20-mb",
        "cut-length",
        "cut-chunked",
        "drip",
    ];
    assert_eq!(ids(&report, "fail"), set(&failed), "{report:#}");
    // Where it crashes after a failure that the host has recorded, its callers get the right code.
    let advice = [
        "key-empty",
        "status-204",
        "reused",
        "closed",
        "slow",
        "denied",
        "refused",
    ];
    assert_eq!(ids(&report, "advice"), set(&advice), "{report:#}");
    assert_eq!(report["passed"], ALL - failed.len() - advice.len());

    let path = situation(&report, "key-path");
    let expected = "the upstream got GET /items/../admin/delete?all=1 instead of GET \
                    /items/..%2Fadmin%2Fdelete%3Fall%3D1: the key decides what is requested";
    assert_eq!(path["found"], expected);
    assert_eq!(path["code"], "ok");
    let id = situation(&report, "body-no-id");
    assert_eq!(id["found"], "an item has the id \"null\"");
    let html = situation(&report, "body-html");
    assert_eq!(html["code"], "guest-trap");
    let log = html["log"][0].as_str().unwrap();
    assert!(
        log.contains("expected value") && !log.contains("frames"),
        "{log}"
    );

    // The same as a reader of XML finds it.
    let xml = std::fs::read_to_string(&junit).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let suite = xml.root_element().first_element_child().unwrap();
    assert_eq!(suite.attribute("tests"), Some("39"));
    assert_eq!(suite.attribute("failures"), Some("18"));
    let cases: Vec<_> = suite
        .children()
        .filter(|node| node.has_tag_name("testcase"))
        .collect();
    assert_eq!(cases.len(), ALL);
    let failures = cases.iter().filter_map(|case| {
        let failure = case.children().find(|node| node.has_tag_name("failure"))?;
        let (id, _) = case.attribute("name")?.split_once(": ")?;
        Some((id, failure.attribute("message")?, failure.text()?))
    });
    let failures: Vec<_> = failures.collect();
    let failed_there: BTreeSet<_> = failures.iter().map(|(id, ..)| (*id).to_owned()).collect();
    assert_eq!(failed_there, set(&failed));
    let (_, message, text) = failures[1];
    assert_eq!(message, expected);
    assert!(
        text.starts_with("change: percent-encode every byte"),
        "{text}"
    );
}

#[tokio::test]
async fn the_table_says_what_a_caller_sees_and_what_to_change() {
    let output = run(&["test", artifacts::NAIVE]).await;
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    for line in [
        "  pass    a plain key, and the usual answer             GET /items/oneflight-test, 2 items\n",
        "  FAIL    404                                           upstream-status instead of not-found\n",
        "          caller   upstream-status: the upstream responded with status 404\n",
        "          change   return not-found for 404: callers see that there is nothing, instead of a failure\n",
        "\n14 passed, 7 with advice, 18 failed, ",
    ] {
        assert!(table.contains(line), "{line}{table}");
    }
    // Neither is a terminal.
    assert!(
        !table.contains('\x1b') && output.stderr.is_empty(),
        "{table}"
    );
}

#[tokio::test]
async fn a_typed_function_is_tested_with_the_key_in_its_call_and_an_answer_of_its_form() {
    let folder = Folder::new();
    let answer = folder.path().join("order.json");
    std::fs::write(&answer, ORDER).unwrap();
    let call = r#"orders#get-order("a", "{key}", {lines}, some(eu))"#;
    let args = [
        "test",
        artifacts::ORDERS,
        "--call",
        call,
        "--json",
        "--answer",
    ];
    let output = run(&[&args[..], &[answer.to_str().unwrap()]].concat()).await;
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let advice = set(&["body-bom", "status-204"]);
    assert_eq!(ids(&report, "advice"), advice, "{report:#}");
    assert_eq!(
        situation(&report, "plain-key")["found"],
        "GET /a/orders/oneflight-test?region=eu"
    );
    assert_eq!(situation(&report, "status-404")["code"], "not-found");
    assert_eq!(
        situation(&report, "shared")["found"],
        "50 answers, 1 upstream request"
    );
}

// fault 124
#[tokio::test]
async fn a_client_that_does_not_request_anything_is_not_tested_further() {
    let output = run(&["test", artifacts::MISBEHAVING, "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = report(&output);
    assert_eq!(report["situations"].as_array().unwrap().len(), 1);
    assert_eq!(report["left_out"], ALL - 1);
    let plain = situation(&report, "plain-key");
    assert_eq!(plain["code"], "invalid-key");
    let change = plain["change"].as_str().unwrap();
    assert!(change.contains("--base-url-setting"), "{change}");
}

#[tokio::test]
async fn a_test_that_cannot_be_run_exits_with_2_and_says_why() {
    let folder = Folder::new();
    let answer = folder.path().join("answer.json");
    std::fs::write(&answer, "<html>").unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    for (args, expected) in [
        (&["no-such.wasm"][..], "could not read no-such.wasm"),
        (&[artifacts::NO_ITEMS], "expected a component that exports"),
        (&[artifacts::ORDERS], "add --call with one of them"),
        (
            &[artifacts::ORDERS, "--call", "get-order(\"a\")"],
            "expected a call with {key}",
        ),
        (
            &[artifacts::ORDERS, "--call", "get-it(\"{key}\")"],
            "expected",
        ),
        (&["--answer", answer.to_str().unwrap()], "expected JSON in"),
        (&["--set", "BASE_URL"], "expected NAME=VALUE"),
        (&["--set", "ITEM_AT=/a"], "got ITEM_AT"),
        (&["--port", &port], "choose another one with --port"),
    ] {
        let output = run(&[&["test"], args].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    }
}
