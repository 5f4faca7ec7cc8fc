//! The commands for typed functions: exit codes, and what is printed where.

use std::process::Output;

use oneflight_tests::artifacts;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, run};
use oneflight_tests::upstream::{Answer, Upstream};
use serde_json::{Value, json};

use crate::observing::observed;
use crate::typed::{post, text as body};

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

async fn call(call: &str, more: &[&str]) -> Output {
    run(&[&["call", call, "--component", artifacts::TYPED], more].concat()).await
}

#[tokio::test]
async fn check_lists_the_functions_with_calls_of_them_and_names_those_that_cannot_be_called() {
    let checked = run(&["check", artifacts::TYPED]).await;
    assert_eq!(checked.status.code(), Some(0));
    for expected in [
        "  test:typed/samples#next\n      func(number: u32) -> u32\n",
        &format!(
            "      oneflight call 'next(1)' --component {}\n",
            artifacts::TYPED
        ),
        "  test:typed/handles#open\n      cannot be called: its result has a resource\n",
        "  test:typed/handles#[method]file.read\n      cannot be called: its parameter self has a resource\n",
    ] {
        assert!(out(&checked).contains(expected), "{}", out(&checked));
    }
    let checked = run(&["check", artifacts::TYPED, "--json"]).await;
    let document: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let functions = document["component"]["functions"].as_array().unwrap();
    let next = functions
        .iter()
        .find(|of| of["name"] == "test:typed/samples#next")
        .unwrap();
    assert_eq!(
        (&next["example"], &next["shared"]),
        (&"next(1)".into(), &false.into())
    );
    let not_there = run(&["check", artifacts::NO_ITEMS]).await;
    assert_eq!(not_there.status.code(), Some(1));
}

#[tokio::test]
async fn call_prints_an_answer_as_wave_and_exits_with_1_if_there_is_none() {
    let answer = call("next(41)", &[]).await;
    assert_eq!((answer.status.code(), out(&answer)), (Some(0), "42\n"));
    assert!(
        err(&answer).contains("1 caller, 1 flight, 0 upstream requests"),
        "{}",
        err(&answer)
    );
    let shared = call(
        "test:typed/samples#next( 41 )",
        &["--share", "next", "--callers", "3"],
    )
    .await;
    assert!(
        err(&shared).contains("3 callers, 1 flight"),
        "{}",
        err(&shared)
    );
    let apart = call("next(41)", &["--callers", "3"]).await;
    assert!(
        err(&apart).contains("3 callers, 3 flights"),
        "{}",
        err(&apart)
    );
    // JSON has no spaces in a list.
    let list = call("many(3)", &[]).await;
    assert_eq!((list.status.code(), out(&list)), (Some(0), "[0, 1, 2]\n"));
    let nothing = call("no-result()", &[]).await;
    assert_eq!((nothing.status.code(), out(&nothing)), (Some(0), "\n"));

    let failed = call("fail(9)", &[]).await;
    assert_eq!((failed.status.code(), out(&failed)), (Some(1), ""));
    assert!(
        err(&failed).contains(": custom(9) (client-error)"),
        "{}",
        err(&failed)
    );
    let failed = call("fail(9)", &["--json"]).await;
    let document: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        (&document["code"], &document["err"]["custom"]),
        (&"client-error".into(), &9.into())
    );
    let answer = call("next(41)", &["--json"]).await;
    let document: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (answer.status.code(), &document["answer"]),
        (Some(0), &42.into())
    );
}

#[tokio::test]
async fn call_says_what_is_wrong_with_a_call() {
    for (text, expected) in [
        (
            "next",
            "expected a call as WAVE, as in get-order(\"42\"), got no arguments; add them in parentheses",
        ),
        ("previous(1)", "expected one of test:typed/values#echo, "),
        (
            "next(-1)",
            "test:typed/samples#next: func(number: u32) -> u32: number: expected ",
        ),
        (
            "next()",
            "number: expected a value of type u32, got none; add it",
        ),
        ("open(\"a\")", "got another name"),
    ] {
        let refused = call(text, &[]).await;
        assert_eq!(
            (refused.status.code(), out(&refused)),
            (Some(1), ""),
            "{text}"
        );
        assert!(
            err(&refused).contains(expected),
            "{text}: {}",
            err(&refused)
        );
    }
    let items = run(&[
        "call",
        "get-items(\"1\")",
        "--component",
        artifacts::MISBEHAVING,
    ])
    .await;
    assert_eq!(items.status.code(), Some(1));
    assert!(
        err(&items).contains("expected a typed function, got get-items; run oneflight get KEY"),
        "{}",
        err(&items)
    );
}

// What it prints can be given to `oneflight call` and to the admin API as it is.
#[tokio::test]
async fn observe_prints_calls_by_their_hashes_and_as_wave_if_keys_are_shown() {
    let upstream = Upstream::start(Answer::Body("[]".to_owned())).await;
    let origin = upstream.origin();
    let config = format!(
        "[limits]\nshutdown_delay = '1ms'\n[clients.a]\ncomponent = '{}'\nallow = ['{origin}']\n\
         settings.BASE_URL = '{origin}'\n",
        artifacts::ORDERS
    );
    for (flags, is_shown) in [(&["--show-keys"][..], true), (&[], false)] {
        let folder = Folder::new();
        let file = folder.write("oneflight.toml", config.as_bytes());
        let service = Service::start(&["--config", &file]).await;
        let asking = async |service: &Service| {
            let arguments = json!({ "tenant": "a \"b\"\\c\n" }).to_string();
            let answer = post(service.address, "/v1/a/list-open", arguments).await;
            assert_eq!(body(&answer), "[]");
        };
        let printed = observed(service, flags, 1.0, asking).await;
        let call = r#"  list-open("a \"b\"\\c\n")  "#;
        assert_eq!(out(&printed).contains(call), is_shown, "{}", out(&printed));
        let hashed = out(&printed).contains("  list-open(#");
        assert_eq!(hashed, !is_shown, "{}", out(&printed));
    }
}

// A type can be long. What is written about it is not.
#[tokio::test]
async fn the_error_of_an_argument_of_a_long_type_is_short() {
    let names: String = (0..4_000).map(|nth| format!(" \"name-{nth}\"")).collect();
    let component = wat::parse_str(format!(
        r#"(component
  (core module $code (func (export "f") (param i32)))
  (core instance $code (instantiate $code))
  (type $e' (enum{names}))
  (export $e "e" (type $e'))
  (func (export "f") (param "of" $e) (canon lift (core func $code "f"))))"#
    ));
    let folder = Folder::new();
    let file = folder.write("long.wasm", &component.unwrap());
    for text in ["f(other)", "f()", "f(name-1, name-2)", "f({a: 1})", "g()"] {
        let refused = run(&["call", text, "--component", &file]).await;
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(
            err(&refused).len() < 16 << 10,
            "{text}: {} bytes",
            err(&refused).len()
        );
    }
}
