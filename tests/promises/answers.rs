//! What upstreams answer, and what callers and the log learn from it.

use http::StatusCode;
use oneflight_tests::caller::{code, get, header};
use oneflight_tests::process::run;
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, artifacts, reaching, settings};

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// What `oneflight get KEY --base-url URL` writes to stderr: its log, and the error.
async fn log_of(key: &str, base_url: &str) -> String {
    let output = run(&["get", key, "--base-url", base_url]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

// fault 68
#[tokio::test]
async fn an_upstream_that_limits_the_rate_is_429_with_its_own_retry_after() {
    const SUNDAY: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after:";
    let dated = |value: &str| format!("{SUNDAY} {value}\r\n");
    let after = |value: &str| format!("retry-after: {value}\r\n");
    for (headers, expected) in [
        (String::new(), None),
        (after("7"), Some("7")),
        (after("0"), Some("0")),
        (after("0.5"), Some("1")),
        (after("99999999999"), Some("2147483647")),
        (after("-5"), Some("0")),
        (after("soon"), None),
        (dated("Sun, 06 Nov 1994 08:50:07 GMT"), Some("30")),
        (dated("Sunday, 06-Nov-94 08:50:07 GMT"), Some("30")),
        (dated("Sun Nov  6 08:50:07 1994"), Some("30")),
        (dated("Sun, 06 Nov 1994 08:00:00 GMT"), Some("0")),
        (after("Sun, 06 Nov 1994 08:00:00 GMT"), Some("0")),
        (after("Fri, 31 Dec 9999 23:59:59 GMT"), Some("2147483647")),
    ] {
        for (status, expected_status, expected_code) in [
            (429, StatusCode::TOO_MANY_REQUESTS, "rate-limited"),
            (503, StatusCode::BAD_GATEWAY, "upstream-status"),
        ] {
            let upstream = Upstream::start(Answer::Status(status, headers.clone().leak())).await;
            let serving = Serving::in_front_of(&upstream).await;
            let answer = get(serving.callers, ITEMS).await;
            let about = format!("{status} with {headers:?}");
            assert_eq!(answer.status(), expected_status, "{about}");
            assert_eq!(code(&answer), expected_code, "{about}");
            let retry_after = answer.headers().get("retry-after");
            let retry_after = retry_after.map(|value| value.to_str().unwrap());
            assert_eq!(retry_after, expected, "{about}");
        }
    }
}

// fault 68
// Guests in other languages need not know what the host does with a status.
#[tokio::test]
async fn any_guest_that_reports_a_limited_rate_is_429() {
    let limits = Upstream::start(Answer::Status(429, "retry-after: 7\r\n")).await;
    let settings_of_second = reaching(&limits).env("UPSTREAM", &limits.origin());
    let second = Subject::load(artifacts::SECOND_CLIENT, settings_of_second).await;
    let serving = Serving::start(second).await;
    let answer = get(serving.callers, ITEMS).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &*code(&answer),
            header(&answer, "retry-after")
        ),
        (429, "rate-limited", "7")
    );
    // Without a request there is no response to read the time from.
    let serving = Serving::start(Subject::misbehaving(settings()).await).await;
    for (key, retry_after) in [
        ("error:rate-limited", None),
        ("error:rate-limited:9", Some("9")),
        ("error:upstream-status:429", None),
    ] {
        let answer = get(serving.callers, &format!("/v1/test/items?x={key}")).await;
        assert_eq!(
            (answer.status().as_u16(), &*code(&answer)),
            (429, "rate-limited"),
            "{key}"
        );
        let stated = answer.headers().get("retry-after");
        assert_eq!(
            stated.map(|value| value.to_str().unwrap()),
            retry_after,
            "{key}"
        );
    }
}

// fault 69
#[tokio::test]
async fn the_log_says_where_a_redirect_points_without_secrets_and_the_key() {
    for (status, location, target) in [
        (301, "/items/4711/", "{origin}/items/{x}/"),
        (
            302,
            "https://user:s3cret@b.example/login;s3cret?next=s3cret#s3cret",
            "https://b.example/login",
        ),
        (
            307,
            "//b.example:8443/items/4711",
            "http://b.example:8443/items/{x}",
        ),
        (308, "other", "{origin}/items/other"),
        (
            302,
            "https://4711.b.example/s3cret%2Fs3cret%2Fs3cret",
            "https://{x}.b.example/…",
        ),
    ] {
        let location = format!("location: {location}\r\n");
        let upstream = Upstream::start(Answer::Status(status, location.leak())).await;
        let origin = upstream.origin();
        let log = log_of("4711", &format!("{origin}/items/{{x}}")).await;
        // The port may contain the key.
        let target = target.replace("{origin}", &origin.replace("4711", "{x}"));
        let expected = format!(
            "the upstream redirects to {target} with status {status}; redirects are not followed, so request that URL \
             itself code=\"upstream-status\""
        );
        assert!(log.contains(&expected), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
        assert_eq!(upstream.requests(), 1);
    }
}

// fault 69
#[tokio::test]
async fn the_log_says_which_credentials_an_upstream_expects_and_no_more() {
    for (status, challenge, expected) in [
        (
            401,
            "www-authenticate: Bearer realm=\"s3cret\", error=\"s3cret\"\r\n",
            "expects the scheme Bearer;",
        ),
        (
            401,
            "www-authenticate: Basic realm=\"s, 3cret\"\r\nwww-authenticate: Negotiate s3cret==\r\n",
            "expects the scheme Basic, Negotiate;",
        ),
        (403, "", "with status 403 and states no scheme;"),
    ] {
        let upstream = Upstream::start(Answer::Status(status, challenge)).await;
        let log = log_of("4711", &upstream.origin()).await;
        assert!(
            log.contains("the upstream refuses the client's credentials"),
            "{log}"
        );
        assert!(log.contains(expected), "{log}");
        assert!(!log.contains("3cret"), "{log}");
    }
}

// fault 69
#[tokio::test]
async fn a_request_has_a_user_agent() {
    let upstream = Upstream::start(Answer::Items).await;
    let ours = concat!("user-agent: oneflight/", env!("CARGO_PKG_VERSION"), "\r\n");
    for (settings, expected) in [
        (reaching(&upstream), ours),
        (
            reaching(&upstream).env("HEADER_USER_AGENT", "mine/1"),
            "user-agent: mine/1\r\n",
        ),
    ] {
        let subject = Subject::builtin(&upstream.origin(), settings).await;
        assert_eq!(subject.ask("1").await.as_deref(), Ok(ITEMS_JSON));
        let head = upstream.heads().pop().unwrap();
        assert_eq!(head.matches("user-agent").count(), 1, "{head}");
        assert!(head.contains(expected), "{head}");
    }
}

// fault 70
#[tokio::test]
async fn answers_of_ordinary_upstreams_are_items() {
    const BOLT: &str = r#"[{"id":"1","body":{"id":1,"name":"bolt"}}]"#;
    let body = |text: &str| Answer::Body(text.to_owned());
    let whole = r#"[{"id":"42","body":{"name":"bolt"}}]"#;
    for (answer, settings, expected) in [
        (
            body("\u{feff}[{\"id\":1,\"name\":\"bolt\"}]"),
            &[][..],
            BOLT,
        ),
        (body(r#"{"id":1,"name":"bolt"}"#), &[], BOLT),
        (
            body(r#"{"data":{"id":1,"name":"bolt"}}"#),
            &[("ITEMS_AT", "/data")],
            BOLT,
        ),
        (body("null"), &[], "[]"),
        (
            body(r#"{"items":null,"total":0}"#),
            &[("ITEMS_AT", "/items")],
            "[]",
        ),
        (Answer::Raw("HTTP/1.1 204 No Content\r\n\r\n"), &[], "[]"),
        (Answer::Status(205, ""), &[], "[]"),
        (Answer::Status(204, ""), &[("ANSWER", "item")], "[]"),
        (body(r#"{"name":"bolt"}"#), &[("ANSWER", "item")], whole),
        (
            body(r#"{"data":{"name":"bolt"}}"#),
            &[("ANSWER", "item"), ("ITEMS_AT", "/data")],
            whole,
        ),
        (
            body("[1,2]"),
            &[("ANSWER", "item")],
            r#"[{"id":"42","body":[1,2]}]"#,
        ),
        (
            Answer::Bytes("content-encoding: identity\r\n", b"[]".to_vec()),
            &[],
            "[]",
        ),
    ] {
        let upstream = Upstream::start(answer.clone()).await;
        let mut all = reaching(&upstream);
        for (name, value) in settings {
            all = all.env(name, value);
        }
        let subject = Subject::builtin(&upstream.origin(), all).await;
        let items = subject.ask("42").await;
        assert_eq!(items.as_deref(), Ok(expected), "{answer:?}");
        let head = upstream.heads().remove(0);
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    }
}

// fault 71
#[tokio::test]
async fn a_part_of_an_answer_is_no_answer() {
    let part = Answer::Status(206, "content-range: items 0-0/500\r\n");
    let upstream = Upstream::start(part).await;
    let serving = Serving::in_front_of(&upstream).await;
    let answer = get(serving.callers, ITEMS).await;
    assert_eq!(
        (answer.status().as_u16(), &*code(&answer)),
        (502, "upstream-status")
    );
    assert_eq!(
        header(&answer, "proxy-status"),
        "oneflight; received-status=206"
    );
    let log = log_of("42", &upstream.origin()).await;
    assert!(
        log.contains("the upstream responded with a part of its answer (status 206)"),
        "{log}"
    );
}

// fault 71
#[tokio::test]
async fn the_log_says_what_an_answer_is_that_cannot_be_parsed_and_not_what_it_contains() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03s3cret".to_vec();
    let json = "content-type: application/json\r\n";
    let utf16: Vec<u8> = "\u{feff}[]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (headers, body, expected) in [
        (
            "content-type: text/html; charset=utf-8\r\n",
            b"<!DOCTYPE html><html><body>s3cret".to_vec(),
            "the body is not JSON: expected value at line 1 column 1 code=\"upstream-malformed\" \
             content_type=\"text/html; charset=utf-8\" body=\"HTML\"",
        ),
        (
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            gzip.clone(),
            "expected a body without Content-Encoding, which this client does not decode, got gzip \
             code=\"upstream-malformed\" content_type=\"application/json\" content_encoding=\"gzip\" body=\"gzip\"",
        ),
        (
            "content-encoding: br\r\n",
            b"\x8b\x02\x80s3cret\x03".to_vec(),
            "got br code=\"upstream-malformed\" content_encoding=\"br\" body=\"binary\"",
        ),
        (
            json,
            gzip,
            "content_type=\"application/json\" body=\"gzip\"",
        ),
        (
            json,
            utf16,
            "expected JSON in UTF-8, got UTF-16 code=\"upstream-malformed\" \
                       content_type=\"application/json\" body=\"UTF-16\"",
        ),
        (
            json,
            b"[{\"id\":\"caf\xe9 s3cret\"}]".to_vec(),
            "body=\"text that is not UTF-8\"",
        ),
        (
            json,
            b"{\"error\":\"s3cret\"}".to_vec(),
            "set ANSWER=item code=\"upstream-malformed\" \
                       content_type=\"application/json\" body=\"JSON\"",
        ),
        ("", Vec::new(), "code=\"upstream-malformed\" body=\"empty\""),
    ] {
        let upstream = Upstream::start(Answer::Bytes(headers, body)).await;
        let log = log_of("42", &upstream.origin()).await;
        assert!(log.contains(expected), "{expected}: {log}");
        assert!(!log.contains("3cret"), "{log}");
    }
}
