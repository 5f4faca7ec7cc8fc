//! `oneflight observe` and `oneflight explain`: what sharing would save, and what a call would do.

use std::net::SocketAddr;
use std::process::Output;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight_tests::caller::{get, header};
use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{self, Service, run};
use oneflight_tests::upstream::{Answer, Upstream};
use serde_json::{Value, json};

use crate::metrics::{scrape, value};

/// A service with the client `a` in front of `upstream`, with `more` in its section of the file.
async fn serving(upstream: &Upstream, folder: &Folder, more: &str) -> Service {
    let file = folder.write("a.toml", describing(upstream, more).as_bytes());
    Service::start(&["--config", &file]).await
}

fn describing(upstream: &Upstream, more: &str) -> String {
    let origin = upstream.origin();
    format!(
        "[limits]\nshutdown_delay = '1ms'\n[clients.a]\nbase_url = '{origin}/items'\nlimits.flight_timeout = '1h'\n{more}"
    )
}

/// Two callers request `key` at once, and wait for their answers.
async fn two_fetchers(address: SocketAddr, key: &'static str) {
    let path = format!("/v1/a/items?x={key}");
    let callers = [get(address, &path), get(address, &path)];
    for answer in failsafe("the answers", join_all(callers)).await {
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

/// The same, each with an upstream request of its own; both are open before the first is answered.
async fn both_at_once(service: &Service, upstream: &Upstream, key: &'static str) {
    let fetchers = tokio::spawn(two_fetchers(service.address, key));
    upstream.requested(2).await;
    upstream.release();
    failsafe("the fetchers", fetchers).await.unwrap();
}

/// Waits until a metric of the service is `expected`.
async fn counted(service: &Service, series: &str, expected: f64) {
    failsafe(series, async {
        while value(&scrape(service.admin).await, series) != expected {}
    })
    .await;
}

/// Waits until `flights` flights of the client are counted; a flight is counted after its callers have answers.
async fn landed(service: &Service, flights: f64) {
    counted(
        service,
        r#"flights_total{client="a",outcome="ok"}"#,
        flights,
    )
    .await;
}

/// The output of `oneflight observe` for a service while `asking` makes `flights` flights; then the service
/// ends.
pub(crate) async fn observed(
    service: Service,
    flags: &[&str],
    flights: f64,
    asking: impl AsyncFnOnce(&Service),
) -> Output {
    let admin = service.admin.to_string();
    let args = [&["observe", "--for", "1h", "--admin", &admin], flags].concat();
    let observing = run(&args);
    let asking = async {
        counted(&service, "observations", 1.0).await;
        asking(&service).await;
        landed(&service, flights).await;
        // The observation ends, with its report, when shutdown begins.
        service.terminate();
        service.ended().await
    };
    let (output, (exit, log)) = tokio::join!(observing, asking);
    assert_eq!(exit, Some(0), "{log}");
    assert!(output.status.success(), "{output:?}");
    output
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn an_observation_finds_duplicate_calls_and_reports_what_sharing_would_save() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let service = serving(&upstream, &folder, "sharing = 'observed'").await;
    let asking = async |service: &Service| {
        both_at_once(service, &upstream, "42").await;
        service.logged("would_have_joined=").await;
        service.logged("equal=true").await;
        let answer = get(service.address, "/v1/a/items?x=alone").await;
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=bypass");
        landed(service, 3.0).await;
        let text = scrape(service.admin).await;
        for (series, expected) in [
            (r#"would_have_joined_total{client="a"}"#, 1.0),
            (r#"joined_total{client="a"}"#, 0.0),
            (r#"upstream_requests_total{client="a"}"#, 3.0),
            (
                r#"upstream_requests_would_have_saved_total{client="a"}"#,
                1.0,
            ),
            (r#"answers_compared_total{client="a",outcome="equal"}"#, 1.0),
            (
                r#"answers_compared_total{client="a",outcome="unequal"}"#,
                0.0,
            ),
        ] {
            assert_eq!(value(&text, series), expected, "{series}");
        }
    };
    let report = json_of(&observed(service, &["--json", "--show-keys"], 3.0, asking).await);
    let client = &report["clients"][0];
    assert_eq!(report["clients"].as_array().unwrap().len(), 1);
    assert_eq!(client["client"], "a");
    for (count, expected) in [("callers", 3), ("flights", 3), ("equal", 1), ("unequal", 0)] {
        assert_eq!(client[count], expected, "{client}");
    }
    let requests = |amount: &str| client[amount]["upstream_requests"].as_u64().unwrap();
    assert_eq!(
        (requests("cost"), requests("would_save"), requests("saved")),
        (3, 1, 0)
    );
    let seconds = |amount: &str| client[amount]["upstream_seconds"].as_f64().unwrap();
    assert!(seconds("would_save") > 0.0 && seconds("would_save") < seconds("cost"));
    let keys: Vec<_> = client["keys"].as_array().unwrap().iter().collect();
    let of_key = |key: &Value| {
        (
            key["key"].clone(),
            key["callers"].clone(),
            key["equal"].clone(),
        )
    };
    let keys: Vec<_> = keys.into_iter().map(of_key).collect();
    let expected = [("42", 2, 1), ("alone", 1, 0)];
    assert_eq!(
        keys,
        expected.map(|(key, callers, equal)| (json!(key), json!(callers), json!(equal)))
    );
}

/// What `oneflight observe` prints of two fetchers that request `key` at once from an upstream that answers so.
async fn report_of_two(answer: Answer, key: &'static str) -> String {
    let upstream = Upstream::start(answer).await;
    let folder = Folder::new();
    let service = serving(&upstream, &folder, "sharing = 'observed'").await;
    let asking = async |service: &Service| both_at_once(service, &upstream, key).await;
    String::from_utf8(observed(service, &[], 2.0, asking).await.stdout).unwrap()
}

#[tokio::test]
async fn the_text_report_shows_hashed_keys_and_how_to_share() {
    let printed = report_of_two(Answer::Held, "a-secret-key").await;
    for part in [
        "a: 2 callers, 2 guest calls, 2 upstream requests\n",
        "  sharing would save 1 of 2 upstream requests (50 %), ",
        "  of the answers that would have been shared, 1 of 1 were equal\n",
        "  To share: remove sharing = \"observed\" from [clients.a] and send the service SIGHUP; or,\n",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    assert!(!printed.contains("secret"), "{printed}");
}

#[tokio::test]
async fn unequal_answers_are_reported() {
    let printed = report_of_two(Answer::Numbered, "42").await;
    for part in [
        "  of the answers that would have been shared, 0 of 1 were equal\n",
        "  Do not share yet: if answers differ, the key is incomplete, ",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    assert!(!printed.contains("To share"), "{printed}");
}

#[tokio::test]
async fn once_sharing_is_switched_on_the_same_fetchers_make_one_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let service = serving(&upstream, &folder, "sharing = 'observed'").await;
    folder.write("a.toml", describing(&upstream, "").as_bytes());
    service.hang_up();
    service.logged("reloaded").await;
    let asking = async |service: &Service| {
        let fetchers = tokio::spawn(two_fetchers(service.address, "42"));
        service.waiting("a", 2).await;
        upstream.requested(1).await;
        upstream.release();
        failsafe("the fetchers", fetchers).await.unwrap();
    };
    let report = json_of(&observed(service, &["--json"], 1.0, asking).await);
    let client = &report["clients"][0];
    assert_eq!(
        (&client["callers"], &client["flights"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(client["cost"]["upstream_requests"], 1);
    assert_eq!(client["saved"]["upstream_requests"], 1);
    assert_eq!(client["would_save"]["upstream_requests"], 0);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn an_observation_ends_with_its_connection() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let service = serving(&upstream, &folder, "").await;
    let going_on = |count| counted(&service, "observations", count);
    let admin = service.admin.to_string();
    let observing = process::oneflight(&["observe", "--for", "1h", "--admin", &admin]).spawn();
    going_on(1.0).await;
    drop(observing.unwrap());
    going_on(0.0).await;
    // An observation also ends when its time has passed.
    let output = run(&["observe", "--for", "1ms", "--admin", &admin]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("no flight ended: there were no callers"),
        "{printed}"
    );
    going_on(0.0).await;
}

#[tokio::test]
async fn without_a_service_the_commands_say_how_to_reach_one() {
    // Nothing listens on port 1.
    for command in [&["observe", "--for", "1s"][..], &["explain", "42"]] {
        let output = run(&[command, &["--admin", "127.0.0.1:1"]].concat()).await;
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8(output.stderr).unwrap();
        let complaint = "could not reach the admin API of a service at 127.0.0.1:1; start oneflight serve, \
                         or set its admin address with --admin";
        assert!(printed.contains(complaint), "{printed}");
    }
    for (time, complaint) in [
        ("60", "expected a number with ms, s, m or h"),
        ("2h", "expected more than zero and at most 1h"),
        ("0s", "expected more than zero and at most 1h"),
    ] {
        let output = run(&["observe", "--for", time]).await;
        assert_eq!(output.status.code(), Some(2));
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(complaint), "{printed}");
    }
}

#[tokio::test]
async fn a_wrong_address_or_client_is_reported_as_such() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let other = "[clients.b]\nbase_url = 'http://localhost:9/'";
    let service = serving(&upstream, &folder, other).await;
    // It reports that it listens when the first of its clients is loaded.
    service.ready().await;
    let (callers, admin) = (service.address.to_string(), service.admin.to_string());
    for (address, complaint) in [
        (
            &callers,
            "got the listener for callers or an older service; set the admin address",
        ),
        (
            &admin,
            "expected a service with one client, got 2: a, b; choose one with --client",
        ),
    ] {
        let output = run(&["explain", "42", "--admin", address]).await;
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(complaint), "{printed}");
    }
}

/// The output of `oneflight explain KEY --json`.
async fn explained(service: &Service, key: &str) -> Value {
    let admin = service.admin.to_string();
    let output = run(&["explain", key, "--client", "a", "--admin", &admin, "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    json_of(&output)
}

#[tokio::test]
async fn explain_predicts_whether_a_caller_opens_joins_or_is_refused() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let limits =
        "limits.max_callers = 2\nlimits.max_flights = 1\njoin_window = '1h'\nallow_fresh = true";
    let service = serving(&upstream, &folder, limits).await;
    let before = explained(&service, "a b&c").await;
    assert_eq!(
        before["next"],
        json!({ "what": "opens", "waits": false, "would_have_joined": null, "within_ms": 3_600_000 })
    );
    assert_eq!(
        (&before["flights_of_key"], &before["flights"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(
        (&before["join_window_ms"], &before["allow_fresh"]),
        (&json!(3_600_000), &json!(true))
    );
    assert_eq!(before["limits"]["flights"], 1);

    let address = service.address;
    let ask = || tokio::spawn(async move { get(address, "/v1/a/items?x=a+b%26c").await });
    let one = ask();
    upstream.requested(1).await;
    let open = explained(&service, "a b&c").await;
    let flight = &open["flights_of_key"][0];
    assert_eq!(
        (&flight["callers"], &flight["joinable"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(open["next"]["what"], "joins");
    assert_eq!(open["next"]["flight"], flight["flight"]);
    let (age, within) = (&flight["age_ms"], &open["next"]["within_ms"]);
    assert_eq!(age.as_u64().unwrap() + within.as_u64().unwrap(), 3_600_000);
    assert_eq!((&open["flights"], &open["running"]), (&json!(1), &json!(1)));
    // The limit is one flight, and that is another key's.
    let other = explained(&service, "other").await;
    assert_eq!(other["next"]["what"], "refused");
    assert_eq!(other["next"]["code"], "overloaded");
    let answer = get(address, "/v1/a/items?x=other").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);

    let two = ask();
    service.waiting("a", 2).await;
    let full = explained(&service, "a b&c").await;
    assert_eq!(full["next"]["what"], "refused");
    let answer = get(address, "/v1/a/items?x=a+b%26c").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Explaining sends no request.
    assert_eq!(upstream.requests(), 1);
    upstream.release();
    for caller in [one, two] {
        assert_eq!(
            failsafe("an answer", caller).await.unwrap().status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn the_text_explanation_begins_with_what_happens() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let service = serving(&upstream, &folder, "").await;
    let admin = service.admin.to_string();
    let output = run(&["explain", "42", "--admin", &admin]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.starts_with("A caller now opens a flight, and gets its reply within 3600 s.\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\nthis key   no open flight\n"),
        "{printed}"
    );
    let unknown = run(&["explain", "42", "--client", "b", "--admin", &admin]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let printed = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        printed.contains("there is no client named \"b\" (unknown-client)"),
        "{printed}"
    );
}
