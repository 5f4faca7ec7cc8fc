//! Requests of `oneflight:client/fetch` are those of wasi:http in one call: what a guest sends and what it gets.

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{BUILTIN, InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::tls::Identity;
use oneflight_tests::uploads::{Upload, Uploads};
use oneflight_tests::upstream::{Answer, ITEMS, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, patient, reaching, settings};
use serde_json::{Value, json};

/// The outcome of the item `id` of an answer.
fn outcome(answer: &str, id: &str) -> Value {
    let items: Value = serde_json::from_str(answer).unwrap();
    let found = items
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["id"] == id);
    found.unwrap()["body"].clone()
}

/// The outcome of a request by `fetch`.
async fn fetched(subject: &Subject, request: Value) -> Value {
    let answer = subject.ask(format!("fetch:{request}")).await.unwrap();
    outcome(&answer, "0")
}

/// The outcome of a request with this method to an upstream that responds so.
async fn responded(method: &str, answer: Answer) -> Value {
    let upstream = Upstream::start(answer).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    fetched(
        &subject,
        json!({ "method": method, "url": upstream.origin() }),
    )
    .await
}

#[tokio::test]
async fn a_guest_gets_the_whole_response_in_one_call() {
    let headers = "X-Price: 5 \u{20ac}\r\nX-Two: a\r\nX-Two: b\r\nVia: 1.1 proxy\r\n";
    let upstream = Upstream::start(Answer::Bytes(headers, ITEMS.into())).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let url = format!("{}/items?id=1", upstream.origin());
    let request = json!({
        "url": url,
        "headers": [["Accept", "application/json"], ["x-a", "\u{e9}"], ["x-b", "1"], ["x-b", "2"]],
    });
    let got = fetched(&subject, request).await;
    let length = ITEMS.len().to_string();
    let expected = json!({
        "status": 200,
        // Not those of the connection, as with wasi:http.
        "headers": [["content-length", length], ["x-price", "5 \u{20ac}"], ["x-two", "a"], ["x-two", "b"]],
        "text": ITEMS,
    });
    assert_eq!(got, expected);
    let head = &upstream.heads()[0];
    let sent = "GET /items?id=1 HTTP/1.1\r\naccept: application/json\r\nx-a: \u{e9}\r\nx-b: 1\r\nx-b: 2\r\nuser-agent: \
                oneflight/";
    assert!(head.starts_with(sent), "{head}");
    let host = upstream.origin().replace("http://", "\r\nhost: ");
    assert!(head.ends_with(&format!("{host}\r\n\r\n")), "{head}");
}

#[tokio::test]
async fn a_response_of_any_form_is_a_response() {
    let raw = |text| Answer::Raw(text);
    for (method, answer, status, key, body) in [
        ("GET", Answer::Status(204, ""), 204, "text", json!("")),
        (
            "GET",
            Answer::Status(404, "content-type: text/html\r\n"),
            404,
            "text",
            json!(""),
        ),
        (
            "GET",
            Answer::Status(503, "retry-after: 7\r\n"),
            503,
            "text",
            json!(""),
        ),
        (
            "GET",
            Answer::RedirectTo("http://elsewhere.example".into()),
            302,
            "text",
            json!(""),
        ),
        ("GET", Answer::Body(String::new()), 200, "text", json!("")),
        (
            "GET",
            Answer::Body("\u{feff}[]".into()),
            200,
            "text",
            json!("\u{feff}[]"),
        ),
        (
            "GET",
            Answer::Bytes("", b"\xff\x00".to_vec()),
            200,
            "bytes",
            json!([255, 0]),
        ),
        (
            "GET",
            Answer::Bytes("", b"gr\xc3".to_vec()),
            200,
            "bytes",
            json!([103, 114, 195]),
        ),
        // The length of what GET would get.
        (
            "HEAD",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"),
            200,
            "text",
            json!(""),
        ),
        (
            "GET",
            raw("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
            304,
            "text",
            json!(""),
        ),
        (
            "GET",
            raw("HTTP/1.1 299 Odd\r\ncontent-length: 1\r\n\r\nx"),
            299,
            "text",
            json!("x"),
        ),
        (
            "GET",
            raw(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            ),
            200,
            "text",
            json!("ok"),
        ),
        (
            "GET",
            raw(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-t: 1\r\n\r\n",
            ),
            200,
            "text",
            json!("abc"),
        ),
    ] {
        let got = responded(method, answer.clone()).await;
        assert_eq!(
            (&got["status"], &got[key]),
            (&json!(status), &body),
            "{answer:?}: {got}"
        );
    }
}

/// A character of UTF-8 that arrives in two parts is one character.
#[tokio::test]
async fn a_large_body_arrives_unchanged() {
    let body = "a\u{20ac}".repeat(1 << 20);
    for headers in ["", "x: y\r\n"] {
        let got = responded("GET", Answer::Bytes(headers, body.clone().into())).await;
        assert_eq!(
            (&got["status"], &got["text"]),
            (&json!(200), &json!(body.len()))
        );
    }
    let mut broken = body.into_bytes();
    broken.pop();
    let got = responded("GET", Answer::Bytes("", broken.clone())).await;
    assert_eq!(got["bytes"], json!(broken.len()));
}

#[tokio::test]
async fn a_request_has_the_body_and_the_length_that_the_guest_passes() {
    for identity in [None, Some(Identity::new(&["127.0.0.1"]))] {
        let mut upstream = Uploads::start(identity.as_ref()).await;
        let roots = identity
            .as_ref()
            .map(|identity| Roots::from_pem(identity.pem().as_bytes()).unwrap());
        let policy = UpstreamPolicy {
            allow: vec![upstream.origin().parse().unwrap()],
            roots: roots.unwrap_or_default(),
            ..UpstreamPolicy::default()
        };
        let subject = Subject::misbehaving(Settings {
            policy,
            ..settings()
        })
        .await;
        for (n, (method, body, received)) in [
            ("POST", json!({ "text": "gr\u{fc}n" }), "gr\u{fc}n"),
            ("PUT", json!({ "bytes": [0, 1, 255] }), "\0\u{1}\u{fffd}"),
            ("GET", json!({ "text": "a body" }), "a body"),
            ("DELETE", json!({ "text": "x" }), "x"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = format!("/read/{n}");
            let mut request = body;
            request["method"] = json!(method);
            request["url"] = json!(format!("{}{path}", upstream.origin()));
            let got = fetched(&subject, request).await;
            assert_eq!(got["status"], json!(200), "{got}");
            let begun = Upload::Begun(path.clone());
            let whole = Upload::Whole(path, received.to_owned(), Vec::new());
            assert_eq!(upstream.events(2).await, [begun, whole], "{method}");
        }
    }
}

#[tokio::test]
async fn a_request_states_its_length_where_its_method_expects_a_body() {
    for (method, body, length) in [
        ("POST", json!("abc"), Some("3")),
        ("POST", json!(""), Some("0")),
        ("POST", Value::Null, Some("0")),
        ("PUT", Value::Null, Some("0")),
        ("PATCH", Value::Null, Some("0")),
        ("GET", Value::Null, None),
        ("GET", json!(""), None),
        ("HEAD", Value::Null, None),
        ("DELETE", Value::Null, None),
        ("PURGE", Value::Null, None),
    ] {
        let upstream = Upstream::start(Answer::Items).await;
        let subject = Subject::misbehaving(reaching(&upstream)).await;
        let request = json!({ "method": method, "url": upstream.origin(), "text": body });
        assert_eq!(
            fetched(&subject, request).await["status"],
            json!(200),
            "{method} {body}"
        );
        let head = upstream.heads()[0].clone();
        assert!(
            head.starts_with(&format!("{method} / HTTP/1.1\r\n")),
            "{head}"
        );
        let stated = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(stated, length, "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

#[tokio::test]
async fn a_request_by_fetch_has_the_trace_context_of_its_flight_and_one_by_wasi_the_same() {
    let upstream = Upstream::start(Answer::Items).await;
    let policy = UpstreamPolicy {
        allow: vec![upstream.origin().parse().unwrap()],
        trace: vec![upstream.origin().parse().unwrap()],
        ..UpstreamPolicy::default()
    };
    let subject = Subject::misbehaving(Settings {
        policy,
        ..settings()
    })
    .await;
    let answer = subject
        .ask(format!("fetch-both:{}", upstream.origin()))
        .await
        .unwrap();
    let by_both = [outcome(&answer, "fetch"), outcome(&answer, "wasi")];
    assert_eq!(
        by_both.map(|outcome| outcome["status"].clone()),
        [json!(200), json!(200)]
    );
    // A header that the guest sets itself is replaced.
    let own = json!({ "url": upstream.origin(), "headers": [["traceparent", "mine"], ["tracestate", "mine"]] });
    assert_eq!(fetched(&subject, own).await["status"], json!(200));
    let contexts: Vec<_> = upstream
        .heads()
        .iter()
        .map(|head| {
            assert!(!head.contains("mine"), "{head}");
            let mut lines = head
                .lines()
                .filter_map(|line| line.strip_prefix("traceparent: "));
            let context = lines.next().unwrap().to_owned();
            assert_eq!(lines.next(), None);
            context
        })
        .collect();
    assert_eq!(contexts[0], contexts[1]);
    assert_ne!(contexts[0], contexts[2]);
    // One connection serves both kinds of requests.
    assert_eq!(upstream.connections(), 1);
    assert_eq!(subject.counted("upstream_requests_total"), 3.0);
}

// fault 117
#[tokio::test]
async fn a_thousand_fetches_leave_nothing_behind_in_their_instance() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = Limits {
        max_requests: 1_000,
        max_resources: 20,
        max_handles: 20,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        instances: Instances::Reused(InstanceReuse {
            max_calls: u32::MAX,
            max_age: NEVER,
        }),
        ..reaching(&upstream)
    })
    .await;
    let url = upstream.origin();
    for flight in 1..=2 {
        let answer = subject
            .ask(format!("fetches:1000:{url}/{flight}"))
            .await
            .unwrap();
        assert_eq!(outcome(&answer, "ok"), json!(1_000));
    }
    let idle = subject.component.usage();
    assert_eq!((idle.idle, idle.running, idle.connections), (1, 0, 1));
    for n in 1..=100 {
        let got = fetched(&subject, json!({ "url": format!("{url}/{n}") })).await;
        assert_eq!(got["text"], json!(ITEMS));
    }
    // The memory that the host holds is no more, and its linear memory has not grown.
    assert_eq!(subject.component.usage().memory, idle.memory);
    let answer = subject.ask("calls").await.unwrap();
    assert_eq!(outcome(&answer, "calls"), json!(103));
}

#[tokio::test]
async fn a_client_that_does_not_call_fetch_does_not_import_it() {
    let imports = |binary: &[u8]| {
        let name = b"oneflight:client/fetch@0.1.0";
        binary.windows(name.len()).any(|window| window == name)
    };
    for path in [artifacts::SECOND_CLIENT, artifacts::ORDERS] {
        assert!(!imports(&std::fs::read(path).unwrap()), "{path}");
    }
    assert!(!imports(BUILTIN));
    let misbehaving = std::fs::read(artifacts::MISBEHAVING).unwrap();
    assert!(imports(&misbehaving));
}

#[tokio::test]
async fn the_client_of_the_readme_keeps_keys_apart_from_its_url_and_names_each_failure() {
    let document = include_str!("../../host/docs/clients.md");
    let client = include_str!("../guests/readme-client/src/lib.rs");
    assert!(document.contains(&client.replace("#[rustfmt::skip]\n", "")));
    for (key, path) in [
        ("7", "7"),
        ("../admin/delete?all=1", "%2E%2E%2Fadmin%2Fdelete%3Fall%3D1"),
        ("a b#c%2e\u{fc}", "a%20b%23c%252e%C3%BC"),
    ] {
        let upstream = Upstream::start(Answer::Body("{}".into())).await;
        let base_url = format!("{}/items", upstream.origin());
        let settings = reaching(&upstream).env("BASE_URL", &base_url);
        let subject = Subject::load(artifacts::README_CLIENT, settings).await;
        let answer = subject.ask(key).await.unwrap();
        assert_eq!(answer, format!(r#"[{{"id":"{key}","body":{{}}}}]"#));
        let head = &upstream.heads()[0];
        assert!(
            head.starts_with(&format!("GET /items/{path} HTTP/1.1\r\n")),
            "{head}"
        );
        for key in ["", ".", ".."] {
            assert_eq!(subject.ask(key).await, Err("invalid-key"));
        }
        assert_eq!(upstream.requests(), 1);
    }
    for (answer, code) in [
        (Answer::Status(404, ""), "not-found"),
        (Answer::Status(429, "retry-after: 7\r\n"), "rate-limited"),
        (Answer::Status(503, ""), "upstream-status"),
        (Answer::Body("<html>".into()), "upstream-malformed"),
        (
            Answer::Bytes("", b"\"\xff\"".to_vec()),
            "upstream-malformed",
        ),
        (Answer::BrokenBody, "upstream-unavailable"),
    ] {
        let upstream = Upstream::start(answer.clone()).await;
        let settings = reaching(&upstream).env("BASE_URL", &upstream.origin());
        let subject = Subject::load(artifacts::README_CLIENT, settings).await;
        assert_eq!(subject.ask("1").await, Err(code), "{answer:?}");
    }
    let nowhere = settings().env("BASE_URL", "http://denied.example");
    let subject = Subject::load(artifacts::README_CLIENT, nowhere).await;
    assert_eq!(subject.ask("1").await, Err("upstream-denied"));
}
