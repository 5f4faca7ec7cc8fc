//! Guests that fail or misbehave hurt their own flight and nothing else.

use std::time::Duration;

use oneflight::{Limits, Settings};
use oneflight_tests::process::alone;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{
    NEVER, Subject, artifacts, failsafe, memory, patient, process, reaching, tasks,
};
use serde_json::Value;

/// A misbehaving guest that may reach nothing.
async fn misbehaving() -> Subject {
    Subject::misbehaving(Settings::new("test")).await
}

/// Asks for each key, which must end with its code; then nothing must be left of it, and the client must
/// answer as ever.
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

// Rows 4 and 8.
#[tokio::test]
async fn a_trap_a_panic_an_exit_and_endless_recursion_end_one_flight() {
    let cases = ["trap", "panic", "exit:3", "recurse"].map(|key| (key, "guest-trap"));
    ends(&misbehaving().await, &cases).await;
}

/// What the log says of a guest that ends so, on a line of its own.
async fn crash_line(key: &str) -> String {
    let args = ["get", key, "--component", artifacts::MISBEHAVING, "--json"];
    let mut get = process::oneflight(&args);
    // With it, wasmtime would add where in the host it was.
    let output = failsafe("an answer", get.env("RUST_BACKTRACE", "1").output()).await;
    let output = output.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["answers"][0]["code"], "guest-trap", "{key}");
    assert_eq!(
        answer["answers"][0]["error"],
        "the guest crashed; its last words are in the log"
    );
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let [crash] = lines[..] else { panic!("{log}") };
    assert!(crash.contains(r#"code="guest-trap""#), "{crash}");
    crash.to_owned()
}

#[tokio::test]
async fn the_log_says_in_one_line_why_and_in_which_of_its_functions_a_guest_crashed() {
    for (key, why) in [
        ("trap", "wasm `unreachable` instruction executed"),
        ("panic", "panicked on demand"),
        ("recurse", "misbehaving.wasm!misbehaving::recurse"),
        ("random:60000000", "misbehaving.wasm!"),
    ] {
        let line = crash_line(key).await;
        assert!(line.contains(why), "{line}");
        // By their names, not mangled, innermost first.
        assert!(line.contains(" frames=\"0: "), "{line}");
        assert!(line.contains("misbehaving::"), "{line}");
        assert!(!line.contains("_ZN"), "{line}");
        // None of the host's, and no end of them.
        for of_the_host in ["wasmtime::", "oneflight::component", "/rustc/", "tokio"] {
            assert!(!line.contains(of_the_host), "{line}");
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

// Row 5, by the processor time alone: the flight has an hour. In a process of its own: a guest that
// is not interrupted would hold this one for ever.
#[tokio::test]
async fn a_guest_that_spins_is_ended_when_its_processor_time_is_used_up() {
    let args = ["get", "spin", "--component", artifacts::MISBEHAVING];
    let output = process::run(&[&args[..], &["--flight-timeout", "1h", "--json"]].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["answers"][0]["code"], "guest-deadline");
}

// Row 6, where no upstream is to blame.
#[tokio::test]
async fn a_guest_that_waits_too_long_is_ended_at_the_flights_deadline() {
    let limits = Limits {
        flight_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..Settings::new("test")
    })
    .await;
    ends(&subject, &[("slow:3600000", "guest-deadline")]).await;
}

// Row 6.
#[tokio::test]
async fn a_guest_whose_upstream_hangs_is_ended_and_its_connection_closed() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = oneflight_tests::reaching(&upstream);
    let limits = Limits {
        flight_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings { limits, ..settings }).await;
    let key = format!("patient:{}", upstream.origin());
    ends(&subject, &[(&key, "upstream-timeout")]).await;
    upstream.abandoned(1).await;
}

// Row 7.
#[tokio::test]
async fn a_guest_cannot_grow_past_its_memory_limit() {
    let limits = Limits {
        max_memory_bytes: 16 << 20,
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..Settings::new("test")
    })
    .await;
    assert_eq!(body(&subject.ask("grow:1000000000").await), 16 << 20);
    subject.settled().await;
}

/// How far the memory of this process rises, once it has had a flight, for one with `key` that ends with
/// `code`.
async fn rise(settings: Settings, key: &str, code: Option<&'static str>) -> usize {
    let before = tasks();
    let subject = Subject::misbehaving(settings).await;
    assert_eq!(subject.ask("echo:warm").await.err(), None);
    let flight = async { assert_eq!(subject.ask(key).await.err(), code) };
    let rise = memory::rise(flight).await;
    subject.gone(before).await;
    rise
}

/// What the host itself may take for a flight beyond what the flight's limits say, in bytes: its store,
/// tables and buffers, and what the allocators round up.
const HOSTS_OWN: usize = 2 << 20;

// Row 7.
#[tokio::test]
async fn a_guest_that_takes_all_the_memory_it_can_takes_no_more_than_its_limit() {
    if alone("guests::a_guest_that_takes_all_the_memory_it_can_takes_no_more_than_its_limit").await
    {
        let rise = rise(patient_guest(), "grow:1000000000", None).await;
        // Less what the flight before it has touched, and the pool keeps.
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

/// What the pool keeps of a guest's pages, in bytes.
const RESIDENT: usize = 2 << 20;

/// Settings of a guest that has all the time in the world: the machine may be busy with other tests.
fn patient_guest() -> Settings {
    let limits = Limits {
        max_cpu_time: NEVER,
        ..patient()
    };
    Settings {
        limits,
        ..Settings::new("test")
    }
}

// Row 11: 5,000 times 1 MB, of which the host takes what a result may have.
#[tokio::test]
async fn entries_that_alias_one_string_cost_no_more_than_a_result_may_have() {
    if alone("guests::entries_that_alias_one_string_cost_no_more_than_a_result_may_have").await {
        let code = Some("result-too-large");
        let rise = rise(patient_guest(), "alias:5000:1000000", code).await;
        // And the megabyte itself, which the guest makes of another one and by doubling.
        let guests = 4_000_000;
        assert!(
            rise < Limits::default().max_result_bytes + guests + HOSTS_OWN,
            "{rise}"
        );
    }
}

// Row 25.
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

// Rows 9, 10 and 11.
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

// What is too much for the host need not be an answer.
#[tokio::test]
async fn a_guest_that_passes_too_much_to_an_import_has_trapped() {
    let value = "x".repeat(9_000_000);
    let key = format!("header:x-mine={value}:http://127.0.0.1:9");
    ends(&misbehaving().await, &[(&key, "guest-trap")]).await;
}

// Row 37.
#[tokio::test]
async fn items_that_break_the_contract_are_refused_whole() {
    let cases = ["bad-json", "same-id", "body:1 2"].map(|key| (key, "guest-malformed"));
    ends(&misbehaving().await, &cases).await;
}

#[tokio::test]
async fn a_guest_sees_its_settings_and_nothing_of_the_host() {
    let settings = Settings::new("test").env("BASE_URL", "http://127.0.0.1");
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

#[tokio::test]
async fn a_guest_that_hoards_the_hosts_resources_is_ended() {
    ends(&misbehaving().await, &[("resources:1000", "guest-trap")]).await;
    assert_eq!(misbehaving().await.ask("resources:400").await.err(), None);
}
