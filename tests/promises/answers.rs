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
    ] {
        let location = format!("location: {location}\r\n");
        let upstream = Upstream::start(Answer::Status(status, location.leak())).await;
        let origin = upstream.origin();
        let log = log_of("4711", &format!("{origin}/items/{{x}}")).await;
        let target = target.replace("{origin}", &origin);
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
