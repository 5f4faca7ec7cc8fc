//! Guests that fail or misbehave hurt their own flight and nothing else.

use std::pin::pin;

use oneflight::{Limits, Settings};
use oneflight_tests::process::alone;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{
    LIMIT, Subject, artifacts, failsafe, fast_forward, memory, patient, process, reaching,
    settings, tasks,
};
use serde_json::Value;

/// A misbehaving guest that may reach nothing.
async fn misbehaving() -> Subject {
    Subject::misbehaving(settings()).await
}

/// Calls `subject` with each key, which must end with its code; then nothing is left of that flight, and the
/// client still answers.
async fn ends(subject: &Subject, cases: &[(&str, &'static str)]) {
    for (key, code) in cases {
        assert_eq!(subject.ask(*key).await, Err(*code), "{key}");
        subject.settled().await;
        let unharmed = subject.ask("echo:unharmed").await;
        assert_eq!(
            unharmed.as_deref(),
            Ok(r#"[{"id":"unharmed","body":"unharmed"}]"#),
            "{key}"
        );
    }
}

/// The first item's body.
fn body(answer: &Result<String, &str>) -> Value {
    let items: Value = serde_json::from_str(answer.as_ref().unwrap()).unwrap();
    items[0]["body"].clone()
}

// fault 4, 8
#[tokio::test]
async fn a_trap_a_panic_an_exit_and_endless_recursion_end_one_flight() {
    let cases = ["trap", "panic", "exit:3", "recurse"].map(|key| (key, "guest-trap"));
    ends(&misbehaving().await, &cases).await;
}

/// The one log line of a guest that crashes with `key`.
async fn crash_line(key: &str) -> String {
    let args = ["get", key, "--component", artifacts::MISBEHAVING, "--json"];
    let mut get = process::oneflight(&args);
    // With it, wasmtime adds frames of the host.
    let output = failsafe("an answer", get.env("RUST_BACKTRACE", "1").output()).await;
    let output = output.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["answers"][0]["code"], "guest-trap", "{key}");
    assert_eq!(
        answer["answers"][0]["error"],
        "the guest crashed; the log has its last output"
    );
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let [crash] = lines[..] else { panic!("{log}") };
    assert!(crash.contains(r#"code="guest-trap""#), "{crash}");
    crash.to_owned()
}

#[tokio::test]
async fn a_crash_has_one_log_line_with_its_reason_and_the_guests_frames() {
    for (key, why) in [
        ("trap", "wasm `unreachable` instruction executed"),
        ("panic", "panicked on demand"),
        ("recurse", "misbehaving.wasm!misbehaving::recurse"),
        ("random:60000000", "misbehaving.wasm!"),
    ] {
        let line = crash_line(key).await;
        assert!(line.contains(why), "{line}");
        // Function names are demangled, innermost first.
        assert!(line.contains(" frames=\"0: "), "{line}");
        assert!(line.contains("misbehaving::"), "{line}");
        assert!(!line.contains("_ZN"), "{line}");
        // No frame of the host, and a bounded number.
        let (_, frames) = line.split_once(" frames=").unwrap();
        for of_the_host in ["wasmtime::", "oneflight::component", "/rustc/", "tokio"] {
            assert!(!frames.contains(of_the_host), "{line}");
        }
        assert!(line.len() < 12 << 10, "{}", line.len());
    }
}

#[tokio::test]
async fn each_case_of_a_guests_error_has_its_code() {
    let cases = [
        ("error:invalid-key", "invalid-key"),
        ("error:not-found", "not-found"),
        ("error:upstream-status:418", "upstream-status"),
        ("error:upstream-unavailable", "upstream-unavailable"),
        ("error:upstream-malformed", "upstream-malformed"),
        ("error:denied", "upstream-denied"),
        ("error:rate-limited:7", "rate-limited"),
        ("error:other", "other"),
    ];
    ends(&misbehaving().await, &cases).await;
}

// fault 5
// By processor time alone: the flight has an hour. In a separate process: a guest that is not interrupted
// would block this one for ever.
#[tokio::test]
async fn a_guest_that_spins_is_ended_when_its_processor_time_is_used_up() {
    let args = ["get", "spin", "--component", artifacts::MISBEHAVING];
    let output = process::run(&[&args[..], &["--flight-timeout", "1h", "--json"]].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["answers"][0]["code"], "guest-deadline");
}

// fault 6
// No request is open.
#[tokio::test]
async fn a_guest_that_waits_too_long_is_ended_at_the_flights_deadline() {
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..settings()
    })
    .await;
    fast_forward(ends(&subject, &[("slow:3600000", "guest-deadline")])).await;
}

// fault 6
#[tokio::test]
async fn a_guest_whose_upstream_hangs_is_ended_and_its_connection_closed() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let key = format!("patient:{}", upstream.origin());
    let cases = [(&*key, "upstream-timeout")];
    let mut ending = pin!(ends(&subject, &cases));
    tokio::select! {
        () = &mut ending => unreachable!("the upstream has not answered"),
        () = upstream.requested(1) => {}
    }
    fast_forward(ending).await;
    upstream.abandoned(1).await;
}

// fault 7
#[tokio::test]
async fn a_guest_cannot_grow_past_its_memory_limit() {
    let limits = Limits {
        max_memory_bytes: 16 << 20,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..settings()
    })
    .await;
    // Less a page, for the table of the guest's functions and for what the host holds.
    let largest = (16 << 20) - (64 << 10);
    assert_eq!(body(&subject.ask("grow:1000000000").await), largest);
    subject.settled().await;
}

/// By how much the memory of this process rises for a flight with `key` that ends with `code`, after a first
/// flight.
async fn rise(settings: Settings, key: &str, code: Option<&'static str>) -> usize {
    let before = tasks();
    let subject = Subject::misbehaving(settings).await;
    assert_eq!(subject.ask("echo:warm").await.err(), None);
    let flight = async { assert_eq!(subject.ask(key).await.err(), code) };
    let rise = memory::rise(flight).await;
    subject.gone(before).await;
    rise
}

/// What the host itself may use for a flight beyond the flight's limits, in bytes: its store, tables and
/// buffers, and what the allocators round up.
const HOSTS_OWN: usize = 2 << 20;

// fault 7
#[tokio::test]
async fn a_guest_that_takes_all_the_memory_it_can_takes_no_more_than_its_limit() {
    if alone("guests::a_guest_that_takes_all_the_memory_it_can_takes_no_more_than_its_limit").await
    {
        let rise = rise(settings(), "grow:1000000000", None).await;
        // Less the pages that the first flight touched and the pool keeps.
        assert!(
            rise > Limits::default().max_memory_bytes - RESIDENT,
            "{rise}"
        );
        assert!(
            rise < Limits::default().max_memory_bytes + HOSTS_OWN,
            "{rise}"
        );
    }
}

/// The pages of a guest that the pool keeps, in bytes.
const RESIDENT: usize = 2 << 20;

// fault 11
// 5,000 times 1 MB, of which the host copies no more than the limit for a result.
#[tokio::test]
async fn entries_that_alias_one_string_cost_no_more_than_a_result_may_have() {
    if alone("guests::entries_that_alias_one_string_cost_no_more_than_a_result_may_have").await {
        let code = Some("result-too-large");
        let rise = rise(settings(), "alias:5000:1000000", code).await;
        // And the megabyte itself, which the guest builds by doubling and copies.
        let guests = 4_000_000;
        assert!(
            rise < Limits::default().max_result_bytes + guests + HOSTS_OWN,
            "{rise}"
        );
    }
}

// fault 25
#[tokio::test]
async fn a_body_without_end_costs_no_more_than_a_body_may_have() {
    if alone("guests::a_body_without_end_costs_no_more_than_a_body_may_have").await {
        let upstream = Upstream::start(Answer::EndlessBody).await;
        let key = format!("blame:other:{}", upstream.origin());
        let code = Some("upstream-response-too-large");
        let rise = rise(reaching(&upstream), &key, code).await;
        assert!(
            rise < Limits::default().max_body_bytes + HOSTS_OWN,
            "{rise}"
        );
    }
}

// fault 9, 10, 11
#[tokio::test]
async fn a_result_that_is_too_large_is_refused_whole() {
    let cases = [
        ("huge:9000000", "result-too-large"),
        ("many:10001", "result-too-large"),
        ("alias:5000:1000000", "result-too-large"),
    ];
    ends(&misbehaving().await, &cases).await;
    assert!(misbehaving().await.ask("many:10000").await.is_ok());
}

// fault 39
// An argument of a host function can be too large as well as a result.
#[tokio::test]
async fn a_guest_that_passes_too_much_to_an_import_has_trapped() {
    let value = "x".repeat(9_000_000);
    let key = format!("header:x-mine={value}:http://127.0.0.1:9");
    ends(&misbehaving().await, &[(&key, "guest-trap")]).await;
}

// fault 37
#[tokio::test]
async fn items_that_break_the_contract_are_refused_whole() {
    let cases = ["bad-json", "same-id", "body:1 2"].map(|key| (key, "guest-malformed"));
    ends(&misbehaving().await, &cases).await;
}

#[tokio::test]
async fn a_guest_sees_its_settings_and_nothing_of_the_host() {
    let settings = settings().env("BASE_URL", "http://127.0.0.1");
    let subject = Subject::misbehaving(settings).await;
    let seen = subject.ask("env").await.unwrap();
    let seen: Vec<Value> = serde_json::from_str(&seen).unwrap();
    let names: Vec<_> = seen
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["BASE_URL"]);
    assert_eq!(subject.ask("args").await.as_deref(), Ok("[]"));
    assert_eq!(body(&subject.ask("files").await), 0);
    assert_eq!(body(&subject.ask("stdin").await), 0);
    let resolved = body(&subject.ask("resolve:localhost").await);
    assert!(resolved.is_string(), "{resolved}");
    let connected = body(&subject.ask("connect:127.0.0.1:1").await);
    assert!(
        connected.as_str().unwrap().starts_with("Permission denied"),
        "{connected}"
    );
}

// fault 39
#[tokio::test]
async fn a_guest_cannot_hold_its_thread_in_one_long_call_of_the_host() {
    let subject = misbehaving().await;
    ends(&subject, &[("random:60000000", "guest-trap")]).await;
    assert!(subject.ask("random:65536").await.is_ok());
}

#[tokio::test]
async fn nothing_of_one_call_is_left_for_the_next() {
    let subject = misbehaving().await;
    for _ in 0..2 {
        assert_eq!(body(&subject.ask("calls").await), 1);
    }
}

// fault 39
#[tokio::test]
async fn a_guest_that_hoards_the_hosts_resources_is_ended() {
    ends(&misbehaving().await, &[("resources:1000", "guest-trap")]).await;
    assert_eq!(misbehaving().await.ask("resources:400").await.err(), None);
}
