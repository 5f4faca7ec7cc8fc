//! What can go wrong with a request of `oneflight:client/fetch`, in the guest's code, at the upstream and in the host.

use std::pin::pin;

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::process::alone;
use oneflight_tests::tls::Identity;
use oneflight_tests::uploads::{Upload, Uploads};
use oneflight_tests::upstream::{Answer, NeverAccepts, Upstream};
use oneflight_tests::{
    LIMIT, NEVER, Subject, fast_forward, memory, patient, reaching, settings, tasks,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The outcome of a request by `fetch`.
async fn fetched(subject: &Subject, request: &Value) -> Value {
    let answer = subject.ask(format!("fetch:{request}")).await.unwrap();
    let items: Value = serde_json::from_str(&answer).unwrap();
    items[0]["body"].clone()
}

/// The counters of the metrics that are not 0, without those of time and memory.
fn counters(subject: &Subject) -> Vec<String> {
    let text = subject.metrics.text(&[], 0);
    let is_counted = |line: &&str| {
        let is_measured = line.contains("seconds") || line.contains("bytes");
        line.contains("client=\"test\"") && !is_measured && !line.ends_with(" 0")
    };
    let mut lines: Vec<_> = text.lines().filter(is_counted).map(str::to_owned).collect();
    lines.sort();
    lines
}

// fault 111
#[tokio::test]
async fn a_request_that_is_not_valid_is_not_sent() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let origin = upstream.origin();
    let url = |rest: &str| json!({ "url": format!("{origin}{rest}") });
    let header = |name: &str, value: &str| json!({ "url": origin, "headers": [[name, value]] });
    let method = |method: &str| json!({ "url": origin, "method": method });
    let with_user = origin.replace("//", "//user:secret@");
    for (request, reason) in [
        (url("/items/../admin"), "the segments . and .."),
        (url("/items/%2E%2e"), "the segments . and .."),
        (url("/items/a#b"), "percent-encode # as %23"),
        (url("/items/a b"), "got U+0020"),
        (url("/items/a\r\nHost: evil.example"), "got U+000D"),
        (url("/items/\u{fc}"), "got U+00FC"),
        (url("/items/100%"), "percent-encode % as %25"),
        (json!({ "url": with_user }), "without a user"),
        (
            json!({ "url": "/items" }),
            "expected a URL http[s]://host[:port]/path",
        ),
        (
            json!({ "url": "file:///etc/passwd" }),
            "expected a URL http[s]://host[:port]/path",
        ),
        (
            json!({ "url": "" }),
            "expected a URL http[s]://host[:port]/path",
        ),
        (
            method("get"),
            "expected the method GET in upper case, got get",
        ),
        (method(""), "expected a method such as GET"),
        (
            method("GET / HTTP/1.1\r\n"),
            "expected a method such as GET",
        ),
        (header("x y", "1"), "got \"x y\": invalid header name"),
        (header("", "1"), "got \"\": invalid header name"),
        (
            header("x", "1\r\ny: secret"),
            "got \"x\": invalid header value",
        ),
        (
            header("x", "secret\u{0}"),
            "got \"x\": invalid header value",
        ),
        (
            header("Host", "evil.example"),
            "got \"Host\": forbidden header name",
        ),
        (
            header("Transfer-Encoding", "chunked"),
            "forbidden header name",
        ),
        (header("Connection", "close"), "forbidden header name"),
        (
            header("Proxy-Authorization", "secret"),
            "forbidden header name",
        ),
        (header("Expect", "100-continue"), "forbidden header name"),
        (header("Content-Length", "5"), "which the host sets"),
    ] {
        let got = fetched(&subject, &request).await;
        assert_eq!(got["error"], json!("invalid-request"), "{request}: {got}");
        let text = got["text"].as_str().unwrap();
        assert!(text.contains(reason), "{request}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let answer = subject.ask(format!("fetch-need:{}", url("/a b"))).await;
    assert_eq!(answer, Err("other"));
    // None of them is a request, so none has failed.
    assert_eq!(
        (
            upstream.requests(),
            subject.counted("upstream_requests_total")
        ),
        (0, 0.0)
    );
}

// fault 111
#[tokio::test]
async fn the_header_fields_of_a_request_have_the_limit_of_wasi() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = Subject::misbehaving(Settings {
        limits: Limits {
            max_key_bytes: 1 << 20,
            ..patient()
        },
        ..reaching(&upstream)
    })
    .await;
    let with = |bytes: usize, n: usize| {
        let headers: Vec<_> = (0..n)
            .map(|n| [format!("x-{n}"), "v".repeat(bytes)])
            .collect();
        json!({ "url": upstream.origin(), "headers": headers })
    };
    for (request, is_sent) in [
        (with(30_000, 1), true),
        (with(33_000, 1), false),
        (with(0, 300), true),
        (with(0, 1_000), false),
    ] {
        let got = fetched(&subject, &request).await;
        let too_many = got["text"]
            .as_str()
            .unwrap_or("")
            .contains("at most 32768 bytes");
        assert_eq!(
            (got["status"] == json!(200), too_many),
            (is_sent, !is_sent),
            "{got}"
        );
    }
    assert_eq!(upstream.requests(), 2);
}

/// An upstream, and the outcome of a request to it: the case of `fetch`, and the code if the guest gives up.
struct Failure {
    answer: Answer,
    limits: Limits,
    case: &'static str,
    code: &'static str,
}

fn failure(answer: Answer, case: &'static str, code: &'static str) -> Failure {
    Failure {
        answer,
        limits: patient(),
        case,
        code,
    }
}

/// Failures that no limit of time causes.
fn failures() -> Vec<Failure> {
    const UNAVAILABLE: [&str; 2] = ["unavailable", "upstream-unavailable"];
    const MALFORMED: [&str; 2] = ["malformed", "upstream-malformed"];
    const TOO_LARGE: [&str; 2] = ["response-too-large", "upstream-response-too-large"];
    let limits = || Limits {
        max_body_bytes: 1_000,
        max_headers: 20,
        max_interim_responses: 1,
        ..patient()
    };
    let all = [
        (Answer::HangUp, UNAVAILABLE),
        (Answer::Reset, UNAVAILABLE),
        (Answer::BrokenBody, UNAVAILABLE),
        (
            Answer::Raw("HTTP/1.1 200 OK\r\nbad header\r\n\r\n"),
            MALFORMED,
        ),
        (
            Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
            MALFORMED,
        ),
        (Answer::Raw("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), MALFORMED),
        (
            Answer::Raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
            MALFORMED,
        ),
        (
            Answer::Raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
            UNAVAILABLE,
        ),
        (Answer::EndlessBody, TOO_LARGE),
        (Answer::Body("x".repeat(1_000_000)), TOO_LARGE),
        (Answer::EndlessHead, TOO_LARGE),
        (
            Answer::Raw("HTTP/1.1 100 A\r\n\r\nHTTP/1.1 100 B\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            TOO_LARGE,
        ),
    ];
    let all = all.into_iter().map(|(answer, [case, code])| Failure {
        limits: limits(),
        ..failure(answer, case, code)
    });
    all.collect()
}

// fault 113
#[tokio::test]
async fn a_failure_of_an_upstream_is_the_same_for_fetch_and_for_wasi() {
    for Failure {
        answer,
        limits,
        case,
        code,
    } in failures()
    {
        let upstream = Upstream::start(answer.clone()).await;
        let origin = upstream.origin();
        let settings = || Settings {
            limits: limits.clone(),
            ..reaching(&upstream)
        };
        let before = tasks();
        let subject = Subject::misbehaving(settings()).await;
        let got = fetched(&subject, &json!({ "url": origin })).await;
        assert_eq!(got["error"], json!(case), "{answer:?}: {got}");
        let text = got["text"].as_str().unwrap();
        assert!(!text.is_empty() && !text.contains("127.0.0.1"), "{text}");
        subject.gone(before).await;
        let mut counted = Vec::new();
        for key in ["fetch-need", "need"] {
            let before = tasks();
            let subject = Subject::misbehaving(settings()).await;
            let ended = subject.ask(format!("{key}:{origin}")).await;
            assert_eq!(ended, Err(code), "{key} {answer:?}");
            subject.connected(0).await;
            counted.push(counters(&subject));
            subject.gone(before).await;
        }
        assert_eq!(counted[0], counted[1], "{answer:?}");
    }
}

// fault 113
#[tokio::test]
async fn a_response_that_announces_too_much_is_refused_before_it_arrives() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    let upstream = Upstream::start(Answer::Raw(head)).await;
    let limits = Limits {
        max_body_bytes: 1_000,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..reaching(&upstream)
    };
    let subject = Subject::misbehaving(settings).await;
    let got = fetched(&subject, &json!({ "url": upstream.origin() })).await;
    let text = "HTTP response body size exceeds limit: 1000 bytes";
    assert_eq!(got, json!({ "error": "response-too-large", "text": text }));
    upstream.closed(1).await;
}

// fault 113
#[tokio::test]
async fn a_status_counts_whatever_becomes_of_its_body() {
    let long = "x".repeat(4_000_000);
    let long = format!("HTTP/1.1 503 Busy\r\ncontent-length: 4000000\r\n\r\n{long}");
    let limits = Limits {
        between_bytes_timeout: LIMIT,
        ..patient()
    };
    for (answer, status, key, body) in [
        (
            "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
            429,
            "text",
            json!("half"),
        ),
        (
            "HTTP/1.1 404 No\r\ncontent-length: 9\r\n\r\nhalf",
            404,
            "text",
            json!("half"),
        ),
        (
            "HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\n\u{fc}",
            500,
            "text",
            json!("\u{fc}"),
        ),
        (
            "HTTP/1.1 302 No\r\ncontent-length: 99999999999\r\n\r\n",
            302,
            "text",
            json!(""),
        ),
        (long.leak(), 503, "text", json!(65_536)),
    ] {
        let upstream = Upstream::start(Answer::Raw(answer)).await;
        let settings = Settings {
            limits: limits.clone(),
            ..reaching(&upstream)
        };
        let subject = Subject::misbehaving(settings).await;
        let request = json!({ "url": upstream.origin() });
        let mut fetching = pin!(fetched(&subject, &request));
        let got = tokio::select! {
            got = &mut fetching => got,
            () = upstream.requested(1) => fast_forward(fetching).await,
        };
        assert_eq!(
            (&got["status"], &got[key]),
            (&json!(status), &body),
            "{got}"
        );
        upstream.closed(1).await;
        // It is no failure, and so none that the guest's own error would yield to.
        let blaming = format!("fetch-trap:{}", upstream.origin());
        let mut blaming = pin!(subject.ask(blaming));
        let ended = tokio::select! {
            ended = &mut blaming => ended,
            () = upstream.requested(2) => fast_forward(blaming).await,
        };
        assert_eq!(ended, Err("guest-trap"), "{status}");
    }
}

// fault 112
#[tokio::test]
async fn a_denial_and_a_limit_on_requests_are_the_same_for_fetch_and_for_wasi() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    let none = Limits {
        max_requests: 0,
        ..patient()
    };
    let denying = settings();
    let counting = Settings {
        limits: none,
        ..reaching(&upstream)
    };
    for settings in [denying, counting] {
        let mut counted = Vec::new();
        for key in ["fetch-need", "need"] {
            let subject = Subject::misbehaving(settings.clone()).await;
            let ended = subject.ask(format!("{key}:{origin}")).await;
            assert_eq!(ended, Err("upstream-denied"), "{key}");
            counted.push(counters(&subject));
        }
        assert_eq!(counted[0], counted[1]);
    }
    let subject = Subject::misbehaving(settings()).await;
    let got = fetched(&subject, &json!({ "url": origin })).await;
    assert_eq!(
        got,
        json!({ "error": "denied", "text": "HTTP request denied" })
    );
    let connect = json!({ "url": origin, "method": "CONNECT" });
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    assert_eq!(fetched(&subject, &connect).await["error"], json!("denied"));
    assert_eq!(upstream.requests(), 0);
}

// fault 112
#[tokio::test]
async fn a_body_that_is_longer_than_its_limit_is_denied() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = Limits {
        max_request_body_bytes: 1_000,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let key = |bytes: usize| format!("fetch-large:{bytes}:{}", upstream.origin());
    let denied = subject.ask(key(1_001)).await.unwrap();
    assert!(denied.contains(r#""error":"denied""#), "{denied}");
    assert_eq!(upstream.requests(), 0);
    let sent = subject.ask(key(1_000)).await.unwrap();
    assert!(sent.contains(r#""status":200"#), "{sent}");
}

// fault 113
#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refusing = format!("http://{free}");
    let settings = settings().allow(&refusing).unwrap();
    let subject = Subject::misbehaving(settings).await;
    let got = fetched(&subject, &json!({ "url": refusing })).await;
    assert_eq!(
        got,
        json!({ "error": "unavailable", "text": "connection refused" })
    );
    let ended = subject.ask(format!("fetch-need:{refusing}")).await;
    assert_eq!(ended, Err("upstream-unavailable"));
}

// fault 113
#[tokio::test]
async fn each_timeout_of_a_request_is_one_of_fetch() {
    let first_byte = Limits {
        first_byte_timeout: LIMIT,
        ..patient()
    };
    let between_bytes = Limits {
        between_bytes_timeout: LIMIT,
        ..patient()
    };
    let request = Limits {
        request_timeout: LIMIT,
        ..patient()
    };
    for (limits, answer) in [
        (first_byte, Answer::NoHead),
        (between_bytes, Answer::HalfBody),
        (request.clone(), Answer::NoHead),
        (request, Answer::HalfBody),
    ] {
        let upstream = Upstream::start(answer.clone()).await;
        let settings = Settings {
            limits,
            ..reaching(&upstream)
        };
        let subject = Subject::misbehaving(settings).await;
        for (n, key) in ["fetch", "fetch-need"].into_iter().enumerate() {
            let mut asking = pin!(subject.ask(format!("{key}:{}", upstream.origin())));
            tokio::select! {
                answer = &mut asking => panic!("the upstream stalls, got {answer:?}"),
                () = upstream.requested(n + 1) => {}
            }
            match fast_forward(asking).await {
                Ok(got) => assert!(got.contains(r#""error":"timeout""#), "{answer:?}: {got}"),
                Err(code) => assert_eq!((key, code), ("fetch-need", "upstream-timeout")),
            }
            upstream.abandoned(n + 1).await;
        }
    }
    let stuck = NeverAccepts::start().await;
    let limits = Limits {
        connect_timeout: LIMIT,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..settings().allow(&stuck.origin).unwrap()
    };
    let subject = Subject::misbehaving(settings).await;
    let key = format!("fetch-need:{}", stuck.origin);
    assert_eq!(
        fast_forward(subject.ask(key)).await,
        Err("upstream-timeout")
    );
}

// fault 115
#[tokio::test]
async fn a_fetch_is_open_for_its_flight_until_the_response_is_whole() {
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    for answer in [Answer::NoHead, Answer::HalfBody] {
        let upstream = Upstream::start(answer).await;
        let before = tasks();
        let settings = Settings {
            limits: limits.clone(),
            ..reaching(&upstream)
        };
        let subject = Subject::misbehaving(settings).await;
        let mut asking = Box::pin(subject.ask(format!("fetch:{}", upstream.origin())));
        tokio::select! {
            answer = &mut asking => panic!("the upstream stalls, got {answer:?}"),
            () = upstream.requested(1) => {}
        }
        assert_eq!(fast_forward(asking).await, Err("upstream-timeout"));
        upstream.abandoned(1).await;
        subject.gone(before).await;
    }
}

// fault 115
#[tokio::test]
async fn when_the_last_caller_leaves_a_fetch_its_request_ends_at_once() {
    for answer in [Answer::NoHead, Answer::HalfBody, Answer::EndlessBody] {
        let upstream = Upstream::start(answer.clone()).await;
        let before = tasks();
        // The body without end is read until the caller leaves.
        let limits = Limits {
            max_body_bytes: usize::MAX,
            ..patient()
        };
        let settings = Settings {
            limits,
            ..reaching(&upstream)
        };
        let subject = Subject::misbehaving(settings).await;
        let mut asking = Box::pin(subject.ask(format!("fetch:{}", upstream.origin())));
        tokio::select! {
            answer = &mut asking => panic!("there is no end, got {answer:?}"),
            () = upstream.requested(1) => {}
        }
        drop(asking);
        upstream.abandoned(1).await;
        upstream.closed(1).await;
        subject.settled().await;
        assert_eq!(subject.component.usage().memory, 0, "{answer:?}");
        subject.gone(before).await;
    }
}

// fault 115
#[tokio::test]
async fn a_trap_after_a_fetch_that_failed_has_the_code_of_the_failure() {
    let upstream = Upstream::start(Answer::HangUp).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let origin = upstream.origin();
    let failed = subject.ask(format!("fetch-trap:{origin}")).await;
    assert_eq!(failed, Err("upstream-unavailable"));
    let not_sent = subject.ask("fetch-trap:http://a b").await;
    assert_eq!(not_sent, Err("guest-trap"));
    assert_eq!(upstream.requests(), 1);
}

// fault 116
#[tokio::test]
async fn a_response_before_the_body_of_the_request_was_read_ends_the_request() {
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
        let key = |n| format!("fetch-large:7000000:{}/deaf/{n}", upstream.origin());
        for n in 0..3 {
            let got = subject.ask(key(n)).await.unwrap();
            assert!(
                got.contains(r#""status":200"#) && got.contains(r#""text":"[]""#),
                "{got}"
            );
            subject.settled().await;
        }
        // Over HTTP/2 the connection stays, without streams.
        subject.connected(usize::from(identity.is_some())).await;
        assert_eq!(subject.component.usage().memory, 0);
        let begun = (0..3).map(|n| Upload::Begun(format!("/deaf/{n}")));
        assert_eq!(upstream.events(3).await, begun.collect::<Vec<_>>());
    }
}

/// The memory of one execution in these tests, in bytes.
const MEMORY: usize = 16 << 20;

fn limited(upstream: &Upstream) -> Settings {
    let limits = Limits {
        max_memory_bytes: MEMORY,
        max_body_bytes: usize::MAX,
        ..patient()
    };
    Settings {
        limits,
        ..reaching(upstream)
    }
}

/// How often the limit of memory was reached, by the metrics.
fn reached(subject: &Subject) -> u64 {
    let text = subject.metrics.text(&[], 0);
    let name = "oneflight_limits_total{client=\"test\",outcome=\"memory\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

// fault 114
#[tokio::test]
async fn a_response_counts_as_memory_of_its_guest_until_the_guest_has_it() {
    let upstream = Upstream::start(Answer::Body("x".repeat(6 << 20))).await;
    let subject = Subject::misbehaving(limited(&upstream)).await;
    let url = upstream.origin();
    // The copies of the host and of the guest.
    assert_eq!(subject.ask(format!("fetch:{url}")).await.err(), None);
    // Two bodies fit into the guest's memory. Before it has the second, that one and the host's copies exceed the limit.
    let kept = subject.ask(format!("fetch-keep:2:{url}")).await;
    assert_eq!((kept, reached(&subject)), (Err("guest-trap"), 1));
    // With the guest's copy the host has dropped its own, so the guest gets all the rest.
    let grown = subject
        .ask(format!("fetch-grow:15000000:{url}"))
        .await
        .unwrap();
    assert_eq!(grown, r#"[{"id":"memory","body":15007744}]"#);
    subject.settled().await;
    assert_eq!(
        (subject.component.usage().memory, reached(&subject)),
        (0, 1)
    );
}

// fault 114
#[tokio::test]
async fn a_response_that_an_upstream_announces_counts_before_it_has_arrived() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551000\r\n\r\nx",
    ] {
        let upstream = Upstream::start(Answer::Raw(head)).await;
        let subject = Subject::misbehaving(limited(&upstream)).await;
        let ended = subject.ask(format!("fetch:{}", upstream.origin())).await;
        assert_eq!((ended, reached(&subject)), (Err("guest-trap"), 1), "{head}");
        upstream.closed(1).await;
    }
}

// fault 114
#[tokio::test]
async fn a_response_counts_as_memory_of_all_executions() {
    let upstream = Upstream::start(Answer::EndlessBody).await;
    let mut settings = limited(&upstream);
    settings.limits.max_total_memory_bytes = 8 << 20;
    let subject = Subject::misbehaving(settings).await;
    let ended = subject.ask(format!("fetch:{}", upstream.origin())).await;
    assert_eq!(ended, Err("overloaded"));
    subject.settled().await;
    assert_eq!(subject.component.usage().memory, 0);
}

// fault 114
#[tokio::test]
async fn a_response_without_end_costs_no_more_than_the_memory_of_its_guest() {
    if alone("fetch_faults::a_response_without_end_costs_no_more_than_the_memory_of_its_guest")
        .await
    {
        const HOSTS_OWN: usize = 2 << 20;
        let upstream = Upstream::start(Answer::EndlessBody).await;
        let before = tasks();
        let subject = Subject::misbehaving(limited(&upstream)).await;
        assert_eq!(subject.ask("echo:warm").await.err(), None);
        let key = format!("fetch:{}", upstream.origin());
        let flight = async { assert_eq!(subject.ask(key).await, Err("guest-trap")) };
        let rise = memory::rise(flight).await;
        assert!(rise < MEMORY + HOSTS_OWN, "{rise}");
        subject.gone(before).await;
    }
}

// fault 117
#[tokio::test]
async fn an_instance_whose_fetch_failed_serves_no_other_flight() {
    let upstream = Upstream::start(Answer::OneInAll).await;
    let reused = Instances::Reused(InstanceReuse {
        max_calls: u32::MAX,
        max_age: NEVER,
    });
    let subject = Subject::misbehaving(Settings {
        instances: reused,
        ..reaching(&upstream)
    })
    .await;
    for (n, idle) in [(1, 1), (2, 0)] {
        let key = format!(
            "fetch:{{\"url\":\"{}/{n}\",\"method\":\"POST\"}}",
            upstream.origin()
        );
        assert_eq!(subject.ask(key).await.err(), None);
        subject.settled().await;
        assert_eq!(subject.component.usage().idle, idle);
    }
}
