//! Requests for typed functions: what is refused, and what a body makes the service hold.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use oneflight::{Limits, ServerLimits, Settings};
use oneflight_tests::caller::{code, get, header, rest, send, sending};
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, settings};
use serde_json::Value;

use crate::typed::{ORDER, orders, post, sharing, text, typed};

/// The component with functions of every type, with arguments of at most 1,000 bytes.
async fn serving(limits: ServerLimits) -> Serving {
    let settings = Settings {
        limits: Limits {
            max_arguments_bytes: 1_000,
            ..settings().limits
        },
        ..sharing(&["next"], settings())
    };
    let subject = Subject::load(artifacts::TYPED, settings).await;
    Serving::with(subject, limits, None).await
}

fn detail(answer: &http::Response<Bytes>) -> String {
    let document: Value = serde_json::from_slice(answer.body()).unwrap();
    document["detail"].as_str().unwrap().to_owned()
}

// fault 109
#[tokio::test]
async fn arguments_of_other_names_or_types_are_refused_by_their_path_and_type() {
    let serving = typed(&["next"], settings()).await;
    let server = serving.callers;
    for (query, expected) in [
        ("", "number: expected a value of type u32, got none; add it"),
        (
            "?number=1&number=2",
            "number: expected it once, got it twice; remove one",
        ),
        (
            "?number=a",
            "number: expected an integer, of type u32, got \"a\"",
        ),
        (
            "?number=-1",
            "number: expected an integer, of type u32, got -1, which is out of its range",
        ),
        (
            "?number=%22a%22",
            "number: expected an integer, of type u32, got a string",
        ),
        (
            "?number=1&other=2",
            "other: expected one of number, got another name; remove it",
        ),
    ] {
        let answer = get(server, &format!("/v1/test/next{query}")).await;
        assert_eq!(
            (answer.status().as_u16(), &*code(&answer)),
            (400, "bad-request"),
            "{query}"
        );
        let detail = detail(&answer);
        assert!(detail.contains(expected), "{query}: {detail}");
    }
    for path in [
        "next",
        "samples/next",
        "test:typed%2Fsamples/next",
        "test:typed/samples/next",
    ] {
        let answer = post(server, &format!("/v1/test/{path}"), r#"{"number":1}"#).await;
        assert_eq!(
            (answer.status().as_u16(), text(&answer)),
            (200, "2"),
            "{path}"
        );
    }
    let both = post(server, "/v1/test/next?number=1", r#"{"number":1}"#).await;
    assert_eq!(
        (both.status().as_u16(), &*code(&both)),
        (400, "bad-request")
    );
    let unknown = post(server, "/v1/test/previous", "{}").await;
    assert_eq!(
        (unknown.status().as_u16(), &*code(&unknown)),
        (404, "unknown-function")
    );
    assert!(detail(&unknown).contains("test:typed/samples#next"));
    assert_eq!(serving.subject.component.usage().guest_calls, 4);
}

// fault 109
#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused_before_it_is_read() {
    let serving = serving(ServerLimits::default()).await;
    let server = serving.callers;
    let plain = Request::post("/v1/test/next").header("host", "test");
    let plain = plain.header("content-type", "text/plain");
    let refused = send(server, plain.body(Full::new(Bytes::from("{}"))).unwrap()).await;
    assert_eq!(refused.status().as_u16(), 415);
    let head = "POST /v1/test/next HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
    for body in [
        "content-length: 1001\r\n\r\n".to_owned(),
        format!(
            "transfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n",
            " ".repeat(1_001)
        ),
    ] {
        let caller = sending(server, &format!("{head}{body}")).await;
        let answer = failsafe("the end of the connection", rest(caller)).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("arguments-too-long"), "{answer}");
    }
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    assert_eq!(header(&refused, "content-type"), "application/problem+json");
}

// fault 109
#[tokio::test]
async fn a_body_that_does_not_arrive_ends_its_connection() {
    let serving = serving(ServerLimits {
        header_timeout: Duration::from_millis(200),
        ..ServerLimits::default()
    })
    .await;
    let head = "POST /v1/test/next HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"nu";
    let caller = sending(serving.callers, head).await;
    let answer = failsafe("the end of the connection", rest(caller)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
}

// fault 110
#[tokio::test]
async fn bodies_that_are_being_read_do_not_exceed_what_the_service_may_hold() {
    let settings = Settings {
        limits: Limits {
            max_arguments_bytes: 1 << 20,
            ..settings().limits
        },
        ..settings()
    };
    let subject = Subject::load(artifacts::TYPED, settings).await;
    let limits = ServerLimits {
        header_timeout: NEVER,
        max_unread_bytes: 1 << 20,
        ..ServerLimits::default()
    };
    let serving = Serving::with(subject, limits, None).await;
    let head = "POST /v1/test/next HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 600000\r\n\r\n";
    let first = sending(serving.callers, head).await;
    // The service asks for the body once it has counted it.
    failsafe("100 Continue", first.readable()).await.unwrap();
    let second = sending(serving.callers, head).await;
    let refused = failsafe("the end of the connection", rest(second)).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("raise max_unread_bytes\""), "{refused}");
    drop(first);
    let small = post(serving.callers, "/v1/test/version", "{}").await;
    assert_eq!(small.status().as_u16(), 404);
}

#[tokio::test]
async fn a_function_is_found_by_as_much_of_its_interface_as_is_needed() {
    let upstream = Upstream::start(Answer::Body(ORDER.to_owned())).await;
    let serving = orders(&upstream, &["list-open", "version"]).await;
    for (path, status) in [
        ("/v1/test/acme:orders/orders@1.0.0/version", 404),
        ("/v1/test/version", 200),
        ("/v1/test/orders/list-open?tenant=a", 502),
        ("/v1/test/acme:orders/orders/list-open?tenant=a", 502),
        (
            "/v1/test/acme%3Aorders/orders%401.0.0/list-open?tenant=a",
            502,
        ),
        ("/v1/test/acme:orders/orders@2.0.0/list-open?tenant=a", 404),
        // The client has no items, and no function of that name.
        ("/v1/test/items?x=1", 404),
    ] {
        let answer = get(serving.callers, path).await;
        assert_eq!(answer.status(), status, "{path}: {answer:?}");
    }
    let head = Request::head("/v1/test/version").header("host", "test");
    let head = send(serving.callers, head.body(Full::default()).unwrap()).await;
    assert_eq!(head.status(), 200);
    assert_eq!(
        (header(&head, "content-length"), &head.body()[..]),
        ("7", &b""[..])
    );
}
