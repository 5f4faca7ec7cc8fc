//! The dashboard at the admin address: its files and its event stream.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use oneflight::{Client, Limits, ServerLimits, Settings};
use oneflight_tests::caller::{self, code, get, get_with, header, send};
use oneflight_tests::events::Events;
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{
    NEVER, Subject, failsafe, fast_forward, fewer_tasks, patient, reaching, tasks,
};
use serde_json::{Value, json};

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=key-42";

/// The event stream of the dashboard.
const LIVE: &str = "/v1/live";

/// All files of the dashboard.
const FILES: [(&str, &str); 4] = [
    ("/", "text/html; charset=utf-8"),
    ("/dashboard.css", "text/css; charset=utf-8"),
    ("/dashboard.js", "text/javascript; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
];

/// The built-in client in front of `upstream`, with metrics.
async fn counting(upstream: &Upstream, settings: Settings) -> Subject {
    Subject::builtin(&format!("{}/items", upstream.origin()), settings).await
}

async fn serving(upstream: &Upstream, limits: ServerLimits) -> Serving {
    let subject = counting(upstream, reaching(upstream)).await;
    Serving::with(subject, limits, None).await
}

async fn ask(serving: &Serving, method: Method, path: &str) -> caller::Answer {
    let request = Request::builder().uri(path).method(method);
    let request = request.header("host", "localhost").body(Empty::new());
    send(serving.operator, request.unwrap()).await
}

#[tokio::test]
async fn the_dashboard_is_small_and_loads_nothing_from_elsewhere() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let mut bytes = 0;
    for (path, kind) in FILES {
        let answer = get(serving.operator, path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&answer, "content-type"), kind);
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        let policy: Vec<_> = header(&answer, "content-security-policy")
            .split("; ")
            .collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(&rule), "{path}: {policy:?}");
        }
        let text = str::from_utf8(answer.body()).unwrap();
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("://"), "{path}");
        bytes += text.len();

        let head = ask(&serving, Method::HEAD, path).await;
        assert_eq!(header(&head, "content-length"), text.len().to_string());
        assert!(head.body().is_empty());
        let post = ask(&serving, Method::POST, path).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&post, "allow"), "GET, HEAD");
    }
    assert!(bytes < 30_000, "{bytes} bytes");
}

// fault 52
#[tokio::test]
async fn requests_from_pages_of_other_sites_are_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let paths = [
        "/",
        "/dashboard.js",
        "/metrics",
        "/v1/flights",
        LIVE,
        "/v1/test/explain?x=1",
        "/nowhere",
    ];
    let from = async |site: &str, path: &str| {
        get_with(serving.operator, path, &[("sec-fetch-site", site)]).await
    };
    for site in ["cross-site", "same-site", "something-new"] {
        for path in paths {
            let answer = from(site, path).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{site} {path}");
            assert_eq!(code(&answer), "bad-request");
            assert!(String::from_utf8_lossy(answer.body()).contains("a page of another site"));
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(from(site, path).await.status(), StatusCode::OK);
        }
    }
    for site in ["none", "same-origin"] {
        assert_eq!(from(site, "/").await.status(), StatusCode::OK, "{site}");
    }
    // Two values: no browser sends that, and one of them is refused.
    let both = [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
    let answer = get_with(serving.operator, "/", &both).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_stream_sends_the_state_at_once_and_then_each_change() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let mut events = Events::of(serving.operator, LIVE).await;
    let first = events.state(|_| true).await;
    assert_eq!(first["clients"][0]["client"], "test");
    assert_eq!(first["clients"][0]["sharing"], "shared");
    assert_eq!(first["clients"][0]["totals"]["callers"], json!({}));
    assert_eq!(first["flights"], json!([]));

    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    let wait = |state: &Value| state["clients"][0]["waiting"] == 3;
    let during = events.state(wait).await;
    assert_eq!(during["clients"][0]["flights"], 1);
    let flights = during["flights"].as_array().unwrap();
    assert_eq!(flights.len(), 1);
    assert_eq!(flights[0]["callers"], 3);
    assert_eq!(flights[0]["joinable"], true);
    assert!(!flights[0]["key"].as_str().unwrap().contains("key-42"));

    upstream.requested(1).await;
    upstream.release();
    failsafe("the answers", join_all(callers)).await;
    // A flight is counted after its callers.
    let ok = |state: &Value| state["clients"][0]["totals"]["flights"]["ok"] == 1;
    let after = events.state(ok).await;
    let client = &after["clients"][0];
    assert_eq!(
        (&client["waiting"], &client["flights"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(client["totals"]["callers"], json!({ "ok": 3 }));
    assert_eq!(client["totals"]["flights"], json!({ "ok": 1 }));
    for (total, expected) in [
        ("joined", 2),
        ("requests", 1),
        ("saved", 2),
        ("would_have_saved", 0),
    ] {
        assert_eq!(client["totals"][total], expected, "{total}");
    }
    assert_eq!(after["flights"], json!([]));
}

#[tokio::test]
async fn while_nothing_changes_the_stream_sends_heartbeats_and_stays_open() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let mut events = Events::of(serving.operator, LIVE).await;
    let first = events.next().await.unwrap();
    assert!(first.starts_with("data: {"), "{first}");
    // Many times as long as the timeouts of an idle connection.
    fast_forward(async {
        for _ in 0..20 {
            assert_eq!(events.next().await.unwrap(), ":");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_closed_stream() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let before = tasks();
    let mut pages = Vec::new();
    for _ in 0..5 {
        let mut events = Events::of(serving.operator, LIVE).await;
        events.state(|_| true).await;
        pages.push(events);
    }
    assert!(tasks() >= before + 5);
    drop(pages);
    fewer_tasks(before).await;
}

#[tokio::test]
async fn a_head_request_for_the_stream_ends_and_names_no_length() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = serving(&upstream, ServerLimits::default()).await;
    let answer = ask(&serving, Method::HEAD, LIVE).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "text/event-stream");
    assert_eq!(header(&answer, "content-length"), "");
    assert!(answer.body().is_empty());
}

#[tokio::test]
async fn of_a_thousand_open_flights_the_stream_has_the_fifty_with_most_callers() {
    let upstream = Upstream::start(Answer::Held).await;
    // One runs and the others wait for a permit; all of them are open.
    let settings = Settings {
        limits: Limits {
            max_executions: 1,
            ..patient()
        },
        ..reaching(&upstream)
    };
    let subject = counting(&upstream, settings).await;
    let client = subject.client.clone();
    let serving = Serving::start(subject).await;
    let mut events = Events::of(serving.operator, LIVE).await;
    // The last flights have most callers: 3 and 2; all others have 1.
    let keys = (0..1_000).chain([998, 999, 999]);
    let callers: Vec<_> = keys
        .map(|key| {
            let client = client.clone();
            tokio::spawn(async move { client.call(key.to_string().into()).await })
        })
        .collect();
    let wait = |state: &Value| state["clients"][0]["waiting"] == 1_003;
    let state = events.state(wait).await;
    assert_eq!(state["clients"][0]["flights"], 1_000);
    let flights = state["flights"].as_array().unwrap();
    let crowds: Vec<_> = flights
        .iter()
        .map(|flight| flight["callers"].as_u64())
        .collect();
    assert_eq!(crowds.len(), 50);
    assert_eq!(crowds[..3], [Some(3), Some(2), Some(1)]);
    let opened: Vec<_> = flights[2..]
        .iter()
        .map(|flight| flight["opened_ms"].as_u64())
        .collect();
    assert!(opened.is_sorted(), "{opened:?}");
    let bytes = state.to_string().len();
    assert!(bytes < 10_000, "{bytes} bytes");
    for caller in callers {
        caller.abort();
    }
}

#[tokio::test]
async fn the_stream_ends_when_shutdown_begins() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = ServerLimits {
        shutdown_delay: NEVER,
        ..ServerLimits::default()
    };
    let mut serving = serving(&upstream, limits).await;
    let mut events = Events::of(serving.operator, LIVE).await;
    events.state(|_| true).await;
    serving.shut_down();
    assert_eq!(events.next().await, None);
    // A stream that is opened now ends at once.
    assert_eq!(Events::of(serving.operator, LIVE).await.next().await, None);
}

#[tokio::test]
async fn an_open_dashboard_does_not_delay_the_shutdown() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = ServerLimits {
        shutdown_delay: Duration::ZERO,
        shutdown_write_timeout: NEVER,
        ..ServerLimits::default()
    };
    let mut serving = serving(&upstream, limits).await;
    let mut events = Events::of(serving.operator, LIVE).await;
    events.state(|_| true).await;
    serving.shut_down();
    serving.ended().await;
}
