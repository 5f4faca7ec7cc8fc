//! The public API: status codes, headers and problem documents.

use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::{Http2, code, get, header, rest, send, sending};
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, artifacts, failsafe, process, settings};

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

// fault 21
#[tokio::test]
async fn a_key_that_is_too_long_missing_repeated_or_not_utf8_opens_no_flight() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let address = serving.callers;
    let too_long = format!("x={}", "k".repeat(4097));
    for (query, status, expected) in [
        ("", StatusCode::BAD_REQUEST, "bad-request"),
        ("x=1&x=2", StatusCode::BAD_REQUEST, "bad-request"),
        ("x=%ff", StatusCode::BAD_REQUEST, "bad-request"),
        (&*too_long, StatusCode::URI_TOO_LONG, "key-too-long"),
    ] {
        let answer = get(address, &format!("/v1/test/items?{query}")).await;
        assert_eq!(
            (answer.status(), &*code(&answer)),
            (status, expected),
            "{query}"
        );
    }
    let answer = get(address, "/v1/other/items?x=1").await;
    assert_eq!(
        (answer.status(), &*code(&answer)),
        (StatusCode::NOT_FOUND, "unknown-client")
    );
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    let longest = get(address, &format!("/v1/test/items?x={}", "k".repeat(4096))).await;
    assert_eq!(longest.status(), StatusCode::OK);
}

// fault 67
#[tokio::test]
async fn a_parameter_that_is_not_known_is_refused_by_its_name() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let refused = async |address, method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("host", "localhost")
            .header("x-oneflight", "1");
        let answer = send(address, request.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(code(&answer), "bad-request", "{path}");
        let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    };
    for (query, name) in [
        ("x=1&page=2", "\"page\""),
        ("x=1&page=3", "\"page\""),
        ("page=2&x=1", "\"page\""),
        ("X=1", "\"X\""),
        ("x=1&per%20page", "\"per page\""),
        ("x=1&x[]=2", "\"x[]\""),
    ] {
        let path = format!("/v1/test/items?{query}");
        let detail = refused(serving.callers, Method::GET, &path).await;
        let expected = format!("expected no parameter but x in the query, got {name}; remove it");
        assert_eq!(detail, expected, "{query}");
    }
    for (method, path, name) in [
        (Method::GET, "/v1/test/explain?x=1&key=2", "\"key\""),
        (Method::POST, "/v1/test/forget?x=1&key=2", "\"key\""),
        (Method::POST, "/v1/observe?for=1ms&max=5", "\"max\""),
    ] {
        let detail = refused(serving.operator, method, path).await;
        assert!(detail.contains(name), "{path}: {detail}");
    }
    assert_eq!(upstream.requests(), 0);
    let answer = get(serving.callers, "/v1/test/items?x=1&").await;
    assert_eq!(answer.body(), ITEMS_JSON);
}

#[tokio::test]
async fn a_failure_is_a_problem_document_with_its_code_and_proxy_status() {
    let subject = Subject::misbehaving(settings()).await;
    let serving = Serving::start(subject).await;
    let failed = |error| format!("oneflight; error={error}");
    for (key, status, expected, blamed) in [
        (
            "error:invalid-key",
            400,
            "invalid-key",
            failed("http_request_error"),
        ),
        ("error:not-found", 404, "not-found", String::new()),
        (
            "error:upstream-status:418",
            502,
            "upstream-status",
            "oneflight; received-status=418".into(),
        ),
        (
            "error:upstream-unavailable",
            502,
            "upstream-unavailable",
            failed("destination_unavailable"),
        ),
        (
            "error:upstream-malformed",
            502,
            "upstream-malformed",
            failed("http_protocol_error"),
        ),
        ("error:other", 502, "other", failed("proxy_internal_error")),
        ("error:rate-limited", 429, "rate-limited", String::new()),
        (
            "need:http://10.1.2.3/",
            502,
            "upstream-denied",
            failed("http_request_denied"),
        ),
        ("panic", 502, "guest-trap", failed("proxy_internal_error")),
        (
            "bad-json",
            502,
            "guest-malformed",
            failed("proxy_internal_error"),
        ),
        (
            "many:10001",
            502,
            "result-too-large",
            failed("proxy_internal_error"),
        ),
    ] {
        let answer = get(serving.callers, &format!("/v1/test/items?x={key}")).await;
        assert_eq!(
            (answer.status().as_u16(), &*code(&answer)),
            (status, expected),
            "{key}"
        );
        assert_eq!(header(&answer, "proxy-status"), blamed, "{key}");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    }
    for (path, blamed) in [
        ("/v1/other/items?x=1", failed("destination_not_found")),
        ("/v1/test/items", failed("http_request_error")),
    ] {
        let answer = get(serving.callers, path).await;
        assert_eq!(header(&answer, "proxy-status"), blamed, "{path}");
        assert!(!answer.headers().contains_key("cache-status"), "{path}");
    }
    let answer = get(serving.callers, "/v1/test/items?x=echo:a").await;
    assert!(!answer.headers().contains_key("proxy-status"));
}

#[tokio::test]
async fn head_gets_the_headers_of_get() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let http2 = Http2::to(serving.callers).await;
    for path in [ITEMS, "/v1/test/items", "/v1/other/items?x=1", "/livez"] {
        let request = |uri: String, method| Request::builder().uri(uri).method(method);
        let one = async |method| {
            let request = request(path.into(), method).header("host", "test");
            send(serving.callers, request.body(Empty::new()).unwrap()).await
        };
        let two = async |method| {
            let request = request(format!("http://test{path}"), method);
            http2.send(request.body(Empty::new()).unwrap()).await
        };
        for (got, head) in [
            (one(Method::GET).await, one(Method::HEAD).await),
            (two(Method::GET).await, two(Method::HEAD).await),
        ] {
            assert_eq!(got.status(), head.status(), "{path}");
            assert_eq!(
                header(&head, "content-length"),
                got.body().len().to_string()
            );
            assert!(!got.body().is_empty() && head.body().is_empty(), "{path}");
            let names = |answer: &oneflight_tests::caller::Answer| {
                let mut headers = answer.headers().clone();
                headers.remove("date");
                headers
            };
            assert_eq!(names(&got), names(&head), "{path}");
        }
    }
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    for path in [ITEMS, "/livez", "/readyz"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let request = Request::builder().uri(path).method(&method);
            let request = request.header("host", "test").body(Empty::new()).unwrap();
            let answer = send(serving.callers, request).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(header(&answer, "allow"), "GET, HEAD");
            assert_eq!(code(&answer), "bad-request");
        }
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_body_of_a_get_request_is_not_awaited() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let request =
        format!("GET {ITEMS} HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\nhalf of it");
    let answer = failsafe("an answer", rest(sending(serving.callers, &request).await)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with(ITEMS_JSON), "{answer}");
}

#[tokio::test]
async fn the_reason_of_a_denial_is_only_in_the_log() {
    let service = process::Service::start(&["--component", artifacts::MISBEHAVING]).await;
    let denied = get(service.address, "/v1/default/items?x=need:http://10.1.2.3/").await;
    assert_eq!(
        (denied.status(), &*code(&denied)),
        (StatusCode::BAD_GATEWAY, "upstream-denied")
    );
    let body = String::from_utf8_lossy(denied.body()).into_owned();
    assert!(!body.contains("10.1.2.3"), "{body}");
    service.terminate();
    let (_, log) = service.ended().await;
    assert!(log.contains("add --allow http://10.1.2.3"), "{log}");
}

#[tokio::test]
async fn an_answer_that_is_not_shared_has_fwd_bypass() {
    let upstream = Upstream::start(Answer::Items).await;
    let args = ["--no-coalescing", "--base-url", &upstream.origin()];
    let service = process::Service::start(&args).await;
    let answer = get(service.address, "/v1/default/items?x=42").await;
    assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=bypass");
}
