//! The admin API, and what keeps a web page in the operator's browser from using it.

use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use oneflight::ServerLimits;
use oneflight_tests::caller::{self, code, get, get_with, header, send, sending};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service};
use oneflight_tests::serving::{Serving, served};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, failsafe, settings};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=key-42";

/// The admin request that forgets the flight of [`ITEMS`].
const FORGET: &str = "/v1/test/forget?x=key-42";

/// Sends a request to the admin address, with these headers and no others.
async fn ask(
    serving: &Serving,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> caller::Answer {
    let mut request = Request::builder().uri(path).method(method);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(serving.operator, request.body(Empty::new()).unwrap()).await
}

async fn forget(serving: &Serving) -> Value {
    let headers = [("host", "localhost"), ("x-oneflight", "1")];
    let answer = ask(serving, Method::POST, FORGET, &headers).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    serde_json::from_slice(answer.body()).unwrap()
}

/// The clients at `/v1/flights`.
async fn clients(serving: &Serving) -> Vec<Value> {
    let answer = get(serving.operator, "/v1/flights").await;
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert!(!String::from_utf8_lossy(answer.body()).contains("key-42"));
    let mut document: Value = serde_json::from_slice(answer.body()).unwrap();
    serde_json::from_value(document["clients"].take()).unwrap()
}

// contract 5
#[tokio::test]
async fn a_forgotten_flight_answers_its_callers_and_no_later_one() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    assert_eq!(forget(&serving).await, json!({ "forgotten": false }));
    let early = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    assert_eq!(forget(&serving).await, json!({ "forgotten": true }));
    assert_eq!(forget(&serving).await, json!({ "forgotten": false }));
    let late = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(2).await;
    upstream.release();
    for caller in [early, late] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    }
}

#[tokio::test]
async fn open_flights_are_listed_with_their_callers_and_without_their_keys() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let all = clients(&serving).await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0]["client"], &all[0]["flights"]),
        (&json!("test"), &json!([]))
    );

    let early: Vec<_> = (0..2)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    serving.waiting(2).await;
    forget(&serving).await;
    let late = tokio::spawn(get(serving.callers, ITEMS));
    serving.waiting(3).await;
    let all = clients(&serving).await;
    let flights = all[0]["flights"].as_array().unwrap();
    let mut seen: Vec<_> = flights
        .iter()
        .map(|flight| (flight["callers"].as_u64(), flight["joinable"].as_bool()))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(Some(1), Some(true)), (Some(2), Some(false))]);
    assert_eq!(flights[0]["key"], flights[1]["key"]);
    assert_ne!(flights[0]["flight"], flights[1]["flight"]);
    assert!(flights.iter().all(|flight| flight["age_ms"].is_u64()));

    upstream.release();
    for caller in early.into_iter().chain([late]) {
        failsafe("an answer", caller).await.unwrap();
    }
    serving.subject.settled().await;
    assert_eq!(clients(&serving).await[0]["flights"], json!([]));
}

// fault 52
#[tokio::test]
async fn a_web_page_of_another_site_cannot_use_the_admin_api() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let caller = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    // By DNS rebinding: a host name of the page's own that resolves to this machine.
    let rebound = [("host", "rebound.example"), ("x-oneflight", "1")];
    for (method, path) in [
        (Method::POST, FORGET),
        (Method::GET, "/v1/flights"),
        (Method::GET, "/livez"),
    ] {
        let answer = ask(&serving, method, path, &rebound).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        assert_eq!(code(&answer), "bad-request");
        assert!(String::from_utf8_lossy(answer.body()).contains("use localhost"));
    }
    // By a request that browsers send to any site, and by a CORS preflight.
    let home = ("host", "127.0.0.1");
    let answer = ask(&serving, Method::POST, FORGET, &[home]).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(
        String::from_utf8_lossy(answer.body()).contains("expected an X-Oneflight header, got none")
    );
    let preflight = [
        home,
        ("origin", "http://page.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-oneflight"),
    ];
    let answer = ask(&serving, Method::OPTIONS, FORGET, &preflight).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let answer = ask(&serving, Method::GET, "/v1/flights", &preflight[..2]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let permits = |name: &http::HeaderName| name.as_str().starts_with("access-control");
    assert!(!answer.headers().keys().any(permits), "{answer:?}");
    // The flight is still open.
    assert_eq!(forget(&serving).await, json!({ "forgotten": true }));
    upstream.release();
    failsafe("an answer", caller).await.unwrap();
}

#[tokio::test]
async fn the_public_and_the_admin_address_serve_different_paths() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    for (address, path, expected) in [
        (serving.callers, "/v1/flights", "bad-request"),
        // Callers could have a function of that name.
        (serving.callers, FORGET, "unknown-function"),
        (serving.operator, ITEMS, "bad-request"),
        (serving.callers, "/", "bad-request"),
    ] {
        let answer = get(address, path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(code(&answer), expected);
    }
    let answer = get(serving.operator, FORGET).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(header(&answer, "allow"), "POST");
    let headers = [("host", "localhost"), ("x-oneflight", "1")];
    for (path, status, expected) in [
        ("/v1/other/forget?x=1", 404, "unknown-client"),
        ("/v1/test/forget", 400, "bad-request"),
    ] {
        let answer = ask(&serving, Method::POST, path, &headers).await;
        assert_eq!(
            (answer.status().as_u16(), &*code(&answer)),
            (status, expected)
        );
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(serving.operator, path).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_replaced_client_is_listed_until_its_callers_are_answered() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let caller = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    serving.clients.put(served(&serving.subject)).unwrap();
    let all = clients(&serving).await;
    assert_eq!(all.len(), 2);
    upstream.release();
    failsafe("an answer", caller).await.unwrap();
    failsafe("the replaced client to be gone", async {
        while clients(&serving).await.len() > 1 {}
    })
    .await;
}

/// A service of the misbehaving guest with these limits.
async fn limited(limits: ServerLimits) -> Serving {
    Serving::with(Subject::misbehaving(settings()).await, limits, None).await
}

/// An open dashboard, whose first event has arrived.
async fn dashboard(serving: &Serving) -> TcpStream {
    let request = "GET /v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = sending(serving.operator, request).await;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("data: ") {
        let more = failsafe("an event", stream.read_buf(&mut read)).await;
        assert_ne!(more.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    stream
}

fn detail(answer: &caller::Answer) -> String {
    let problem: Value = serde_json::from_slice(answer.body()).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

// fault 79
#[tokio::test]
async fn open_dashboards_leave_half_of_the_admin_connections_to_others() {
    let limits = ServerLimits {
        max_admin_connections: 5,
        ..ServerLimits::default()
    };
    let serving = limited(limits).await;
    let _first = dashboard(&serving).await;
    let second = dashboard(&serving).await;
    let third = get(serving.operator, "/v1/live").await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&third, "retry-after"), "1");
    assert!(detail(&third).contains("raise max_dashboards"), "{third:?}");
    let all = get(serving.operator, "/v1/flights").await;
    assert_eq!(all.status(), StatusCode::OK);
    drop(second);
    failsafe("the place of the one that was closed", async {
        let request = "GET /v1/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut status = [0; 12];
        while &status != b"HTTP/1.1 200" {
            let mut stream = sending(serving.operator, request).await;
            stream.read_exact(&mut status).await.unwrap();
        }
    })
    .await;
}

// fault 79
#[tokio::test]
async fn probes_and_scrapes_are_answered_when_all_admin_connections_are_in_use() {
    let limits = ServerLimits {
        max_admin_connections: 1,
        ..ServerLimits::default()
    };
    let serving = limited(limits).await;
    let _only = dashboard(&serving).await;
    // More than the reserve has connections, one after the other.
    for _ in 0..4 {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = failsafe("an answer", get(serving.operator, path)).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&answer, "connection"), "close", "{path}");
        }
    }
    for path in ["/", "/v1/flights", "/v1/live"] {
        let answer = failsafe("an answer", get(serving.operator, path)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(
            detail(&answer).ends_with("raise max_admin_connections"),
            "{answer:?}"
        );
    }
}

// fault 52
#[tokio::test]
async fn the_admin_api_is_requested_by_the_names_that_the_file_permits() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let file = format!(
        "admin_hosts = ['Oneflight.shop.svc']\n{PATIENT}[clients.a]\nbase_url = '{}/items'\n",
        upstream.origin()
    );
    let file = folder.write("oneflight.toml", file.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    for (host, status) in [
        ("oneflight.shop.svc", StatusCode::OK),
        ("ONEFLIGHT.shop.svc:9090", StatusCode::OK),
        ("localhost", StatusCode::OK),
        ("oneflight.shop", StatusCode::FORBIDDEN),
        ("oneflight.shop.svc.rebound.example", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get("/metrics").header("host", host);
        let answer = send(service.admin, request.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.status(), status, "{host}");
        if status == StatusCode::FORBIDDEN {
            assert!(
                detail(&answer).ends_with("add the name to admin_hosts"),
                "{answer:?}"
            );
        }
    }
    let page = [("sec-fetch-site", "cross-site")];
    let answer = get_with(service.admin, "/metrics", &page).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}
