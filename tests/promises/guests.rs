//! Guests that fail or misbehave hurt their own flight and nothing else.

use std::time::Duration;

use oneflight::{Limits, Settings};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, artifacts, process};
use serde_json::Value;

/// A misbehaving guest that may reach nothing.
async fn misbehaving() -> Subject {
    Subject::misbehaving(Settings::new("test")).await
}

/// Asks for each key, which must end with its code; then the client must answer as ever.
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
    let output = process::run(&[&args[..], &["--deadline", "3600", "--json"]].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["answers"][0]["code"], "guest-deadline");
}

// Row 6, where no upstream is to blame.
#[tokio::test]
async fn a_guest_that_waits_too_long_is_ended_at_the_flights_deadline() {
    let limits = Limits {
        flight: Duration::from_millis(200),
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
        flight: Duration::from_millis(200),
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
        memory: 16 << 20,
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..Settings::new("test")
    })
    .await;
    let reached = body(&subject.ask("grow:1000000000").await)
        .as_u64()
        .unwrap();
    assert!((8 << 20..=16 << 20).contains(&reached), "{reached}");
    subject.settled().await;
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
