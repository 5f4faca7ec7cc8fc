//! Upstreams that fail, and upstreams that a guest may not reach.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{Call, Client, ClientError, Limits, Settings};
use oneflight_tests::names::{Lookup, Script};
use oneflight_tests::process::{oneflight, run};
use oneflight_tests::tls::{Event, Http2, Identity};
use oneflight_tests::upstream::{Answer, ITEMS, NeverAccepts, Upstream};
use oneflight_tests::{LIMIT, Subject, failsafe, fast_forward, patient, reaching, settings, tasks};
use tokio::net::TcpListener;

/// The result of a call with `key`, with a policy that allows `allowed`.
async fn asking(allowed: &[&str], key: &str) -> Result<String, &'static str> {
    asking_within(patient(), allowing(allowed), key).await
}

/// The result of a call that never gets a connection to `origin`: only the connect timeout ends it.
async fn connecting(origin: &str) -> Result<String, &'static str> {
    let limits = Limits {
        connect_timeout: LIMIT,
        ..patient()
    };
    timing_out(limits, allowing(&[origin]), &format!("need:{origin}")).await
}

/// The result of a call with `key`, after which nothing of the client is left.
async fn asking_within(
    limits: Limits,
    policy: UpstreamPolicy,
    key: &str,
) -> Result<String, &'static str> {
    let before = tasks();
    let subject = subject(limits, policy).await;
    let answer = subject.ask(key).await;
    subject.gone(before).await;
    answer
}

/// The same for a call that only a limit ends, before any request reaches an upstream.
async fn timing_out(
    limits: Limits,
    policy: UpstreamPolicy,
    key: &str,
) -> Result<String, &'static str> {
    let before = tasks();
    let subject = subject(limits, policy).await;
    let answer = fast_forward(subject.ask(key)).await;
    subject.gone(before).await;
    answer
}

/// The result of a call with `key` that only a limit ends, once `upstream` has its request.
async fn stalled(
    subject: &Subject,
    upstream: &Upstream,
    key: String,
) -> Result<String, &'static str> {
    let before = upstream.requests();
    let mut asking = pin!(subject.ask(key));
    tokio::select! {
        answer = &mut asking => panic!("the upstream stalls, got {answer:?}"),
        () = upstream.requested(before + 1) => {}
    }
    fast_forward(asking).await
}

/// A guest with these limits and this policy.
async fn subject(limits: Limits, policy: UpstreamPolicy) -> Subject {
    Subject::misbehaving(Settings {
        policy,
        limits,
        ..settings()
    })
    .await
}

fn allowing(origins: &[&str]) -> UpstreamPolicy {
    UpstreamPolicy {
        allow: origins
            .iter()
            .map(|origin| origin.parse().unwrap())
            .collect(),
        ..UpstreamPolicy::default()
    }
}

/// A policy that allows `origin`, a name that `names` resolves, and these networks.
fn named(origin: &str, names: &Arc<Script>, nets: &[&str]) -> UpstreamPolicy {
    UpstreamPolicy {
        nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        resolver: Arc::clone(names) as _,
        ..allowing(&[origin])
    }
}

/// The codes of flights that need an answer of one of these upstreams each.
async fn needing<const N: usize>(answers: [Answer; N]) -> [&'static str; N] {
    let mut upstreams = Vec::new();
    for answer in answers {
        upstreams.push(Upstream::start(answer).await);
    }
    let origins: Vec<_> = upstreams.iter().map(Upstream::origin).collect();
    let origins: Vec<_> = origins.iter().map(String::as_str).collect();
    let before = tasks();
    let subject = subject(patient(), allowing(&origins)).await;
    let mut codes = [""; N];
    for (code, origin) in codes.iter_mut().zip(origins) {
        *code = subject.ask(format!("need:{origin}")).await.unwrap_err();
        subject.connected(0).await;
    }
    subject.gone(before).await;
    codes
}

// fault 23
#[tokio::test]
async fn an_upstream_that_refuses_or_hangs_up_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refusing = format!("http://{free}");
    let refused = asking(&[&refusing], &format!("need:{refusing}")).await;
    assert_eq!(refused, Err("upstream-unavailable"));
    let codes = needing([Answer::HangUp, Answer::Reset]).await;
    assert_eq!(codes, ["upstream-unavailable"; 2]);
}

// fault 23
#[tokio::test]
async fn an_upstream_whose_name_does_not_resolve_is_unavailable() {
    for nothing in [Lookup::Fails, Lookup::of(&[])] {
        let names = Arc::new(Script::new([nothing]));
        let policy = named("http://gone.example", &names, &[]);
        let answer = asking_within(patient(), policy, "need:http://gone.example").await;
        assert_eq!(answer, Err("upstream-unavailable"));
        assert_eq!(names.lookups(), ["gone.example"]);
    }
}

// fault 23, 36
#[tokio::test]
async fn an_upstream_that_breaks_off_in_its_body_is_unavailable() {
    let upstream = Upstream::start(Answer::BrokenBody).await;
    let before = tasks();
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    assert_eq!(subject.ask("42").await, Err("upstream-unavailable"));
    subject.connected(0).await;
    subject.gone(before).await;
}

// A guest that recovers has an answer; for one that fails because its request failed, the host names the
// failure.
#[tokio::test]
async fn a_guest_may_recover_from_a_failed_request_but_not_rename_it() {
    let upstream = Upstream::start(Answer::HangUp).await;
    let (origin, allowed) = (upstream.origin(), [&*upstream.origin()]);
    let recovered = asking(&allowed, &format!("ask:{origin}")).await.unwrap();
    assert!(recovered.contains("ErrorCode::"), "{recovered}");
    let blamed = asking(&allowed, &format!("blame:not-found:{origin}")).await;
    assert_eq!(blamed, Err("upstream-unavailable"));
    let trapped = asking(&allowed, &format!("ask-trap:{origin}")).await;
    assert_eq!(trapped, Err("upstream-unavailable"));
    // After a later request that succeeds, an earlier failure is not the reason.
    let other = Upstream::start(Answer::Items).await;
    let healthy = other.origin();
    let both = [&*origin, &*healthy];
    let late = asking(&both, &format!("blame:not-found:{origin}|{healthy}")).await;
    assert_eq!(late, Err("not-found"));
    let early = asking(&both, &format!("blame:not-found:{healthy}|{origin}")).await;
    assert_eq!(early, Err("upstream-unavailable"));
}

// fault 24
#[tokio::test]
async fn an_upstream_that_stalls_in_its_head_or_body_is_cut_off() {
    for answer in [Answer::NoHead, Answer::HalfBody] {
        let upstream = Upstream::start(answer.clone()).await;
        let origin = upstream.origin();
        let before = tasks();
        let limits = Limits {
            request_timeout: LIMIT,
            ..patient()
        };
        let subject = subject(limits, allowing(&[&origin])).await;
        // The guest sets timeouts of an hour; the host's cap counts.
        let outcome = stalled(&subject, &upstream, format!("patient:{origin}")).await;
        let outcome = outcome.unwrap();
        assert!(outcome.contains("error"), "{answer:?}: {outcome}");
        upstream.abandoned(1).await;
        let needed = stalled(&subject, &upstream, format!("blame:other:{origin}")).await;
        assert_eq!(needed, Err("upstream-timeout"), "{answer:?}");
        upstream.abandoned(2).await;
        upstream.closed(2).await;
        subject.gone(before).await;
    }
}

#[tokio::test]
async fn a_request_is_open_until_its_body_was_read() {
    let upstream = Upstream::start(Answer::HalfBody).await;
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    let key = format!("hold:{}", upstream.origin());
    let held = stalled(&subject, &upstream, key).await;
    assert_eq!(held, Err("upstream-timeout"));
    upstream.abandoned(1).await;
    subject.settled().await;
}

#[tokio::test]
async fn a_request_ends_at_its_deadline_though_its_guest_reads_nothing() {
    let upstream = Upstream::start(Answer::HalfBody).await;
    let before = tasks();
    let limits = Limits {
        request_timeout: LIMIT,
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    let held = tokio::spawn({
        let (client, key) = (
            subject.client.clone(),
            format!("hold:{}", upstream.origin()),
        );
        async move { client.call(key.into()).await }
    });
    upstream.requested(1).await;
    // The flight continues for an hour; its request does not.
    fast_forward(upstream.abandoned(1)).await;
    subject.connected(0).await;
    assert_eq!(subject.component.usage().running, 1);
    held.abort();
    subject.gone(before).await;
}

// fault 24
// Each timeout alone.
#[tokio::test]
async fn the_first_byte_and_the_pauses_of_an_answer_have_timeouts_of_their_own() {
    let first_byte = Limits {
        first_byte_timeout: LIMIT,
        ..patient()
    };
    let between_bytes = Limits {
        between_bytes_timeout: LIMIT,
        ..patient()
    };
    for (limits, answer) in [
        (first_byte, Answer::NoHead),
        (between_bytes, Answer::HalfBody),
    ] {
        let upstream = Upstream::start(answer.clone()).await;
        let subject = subject(limits, allowing(&[&upstream.origin()])).await;
        let key = format!("blame:other:{}", upstream.origin());
        let ended = stalled(&subject, &upstream, key).await;
        assert_eq!(ended, Err("upstream-timeout"), "{answer:?}");
        upstream.abandoned(1).await;
    }
}

// fault 24
// There is always more to read, so no pause in the body ends it.
#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_at_the_requests_deadline() {
    let upstream = Upstream::start(Answer::EndlessBody).await;
    let before = tasks();
    let limits = Limits {
        request_timeout: LIMIT,
        max_body_bytes: usize::MAX,
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    let mut asking = Box::pin(subject.ask(format!("blame:other:{}", upstream.origin())));
    tokio::select! {
        answer = &mut asking => panic!("the answer continues, got {answer:?}"),
        () = upstream.requested(1) => {}
    }
    // A paused clock stands still while data comes, so it is put forward.
    tokio::time::pause();
    tokio::time::advance(LIMIT).await;
    assert_eq!(asking.await, Err("upstream-timeout"));
    tokio::time::resume();
    upstream.abandoned(1).await;
    upstream.closed(1).await;
    subject.gone(before).await;
}

// fault 24
#[tokio::test]
async fn a_lookup_that_hangs_ends_at_the_connect_timeout_or_the_flights_deadline() {
    let names = Arc::new(Script::new([Lookup::Hangs]));
    let policy = named("http://slow.example", &names, &[]);
    let connect = Limits {
        connect_timeout: LIMIT,
        ..patient()
    };
    let ended = timing_out(connect, policy.clone(), "need:http://slow.example").await;
    assert_eq!(ended, Err("upstream-timeout"));
    let flight = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    let ended = timing_out(flight, policy, "need:http://slow.example").await;
    assert_eq!(ended, Err("upstream-timeout"));
}

#[tokio::test]
async fn a_guest_may_set_a_shorter_connect_timeout_than_the_host() {
    let names = Arc::new(Script::new([Lookup::Hangs]));
    let policy = named("http://slow.example", &names, &[]);
    let outcome = timing_out(patient(), policy, "hasty:http://slow.example").await;
    let outcome = outcome.unwrap();
    assert!(outcome.contains("ConnectionTimeout"), "{outcome}");
}

#[tokio::test]
async fn a_guest_may_set_shorter_timeouts_than_the_host() {
    for answer in [Answer::NoHead, Answer::HalfBody] {
        let upstream = Upstream::start(answer.clone()).await;
        let subject = Subject::misbehaving(reaching(&upstream)).await;
        let key = format!("hasty:{}", upstream.origin());
        let outcome = stalled(&subject, &upstream, key).await.unwrap();
        assert!(outcome.contains("error"), "{answer:?}: {outcome}");
        upstream.abandoned(1).await;
    }
}

// fault 24
#[tokio::test]
async fn an_upstream_that_stalls_in_its_tls_handshake_is_cut_off() {
    let upstream = Upstream::start(Answer::NoHead).await;
    let origin = upstream.origin().replace("http://", "https://");
    assert_eq!(connecting(&origin).await, Err("upstream-timeout"));
}

// fault 24
#[tokio::test]
async fn an_upstream_that_never_accepts_is_cut_off() {
    let never = NeverAccepts::start().await;
    assert_eq!(connecting(&never.origin).await, Err("upstream-timeout"));
}

// fault 25
#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = Upstream::start(Answer::EndlessBody).await;
    let limits = Limits {
        max_body_bytes: 100_000,
        ..patient()
    };
    let (policy, key) = (
        allowing(&[&body.origin()]),
        format!("blame:other:{}", body.origin()),
    );
    let answer = asking_within(limits, policy, &key).await;
    assert_eq!(answer, Err("upstream-response-too-large"));
    body.abandoned(1).await;
    assert_eq!(
        needing([Answer::EndlessHead]).await,
        ["upstream-response-too-large"]
    );
}

// fault 25
#[tokio::test]
async fn a_head_is_as_large_as_its_limit_at_most() {
    let head = |bytes: usize| {
        let header = format!("x-large: {}\r\n", "x".repeat(bytes));
        Answer::Status(200, header.leak())
    };
    for (bytes, code) in [
        (30_000, None),
        (40_000, Some("upstream-response-too-large")),
    ] {
        let upstream = Upstream::start(head(bytes)).await;
        let limits = Limits {
            max_header_bytes: 32 << 10,
            ..patient()
        };
        let (policy, key) = (
            allowing(&[&upstream.origin()]),
            format!("need:{}", upstream.origin()),
        );
        let answer = asking_within(limits, policy, &key).await;
        assert_eq!(answer.err(), code, "{bytes}");
    }
}

/// The message of a flight whose upstream answers with these bytes, and limits of 100 header lines and 4 interim
/// responses.
async fn answered(bytes: String) -> Result<(), String> {
    let upstream = Upstream::start(Answer::Raw(bytes.leak())).await;
    let limits = Limits {
        max_headers: 100,
        max_interim_responses: 4,
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    let key = format!("need:{}", upstream.origin());
    let answer = subject.client.call(key.into()).await;
    subject.settled().await;
    answer.result.map(drop).map_err(|error| {
        assert_eq!(error.code(), "upstream-response-too-large");
        error.to_string()
    })
}

// fault 58
#[tokio::test]
async fn a_head_has_as_many_lines_as_its_limit_at_most() {
    let lines = |count: usize| {
        let others = "x: 1\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{others}\r\n")
    };
    assert_eq!(answered(lines(100)).await, Ok(()));
    for count in [101, 200, 201, 2_000] {
        let refused = answered(lines(count)).await.unwrap_err();
        assert!(refused.contains("max_headers"), "{count}: {refused}");
    }
}

// fault 59
#[tokio::test]
async fn interim_responses_are_limited() {
    let interim = |count: usize| {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
        format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    };
    for count in [0, 4] {
        assert_eq!(answered(interim(count)).await, Ok(()), "{count}");
    }
    for count in [5, 10_000] {
        let refused = answered(interim(count)).await.unwrap_err();
        assert!(refused.contains("max_interim_responses"), "{refused}");
    }
    // Nothing but the limit ends these.
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    let refused = answered(endless).await.unwrap_err();
    assert!(refused.contains("max_interim_responses"), "{refused}");
}

// fault 40
// Invalid HTTP is not taken for an answer, even if a part of it looks like one.
#[tokio::test]
async fn an_answer_with_bad_framing_is_malformed() {
    let raw = [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n[]]",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\na b: c\r\ncontent-length: 2\r\n\r\n[]",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ];
    assert_eq!(
        needing(raw.map(Answer::Raw)).await,
        ["upstream-malformed"; 5]
    );
}

// fault 26
#[tokio::test]
async fn a_request_off_the_list_opens_no_socket() {
    let upstream = Upstream::start(Answer::Items).await;
    let key = format!("need:{}", upstream.origin());
    assert_eq!(asking(&[], &key).await, Err("upstream-denied"));
    let other_port = format!("http://127.0.0.1:{}", upstream.address().port() ^ 1);
    assert_eq!(asking(&[&other_port], &key).await, Err("upstream-denied"));
    let other_scheme = upstream.origin().replace("http", "https");
    assert_eq!(asking(&[&other_scheme], &key).await, Err("upstream-denied"));
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        asking(&[], "need:http://169.254.169.254/").await,
        Err("upstream-denied")
    );
}

// fault 26
#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_needs_its_network_allowed() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = format!("http://inside.example:{}", upstream.address().port());
    let key = format!("need:{origin}");
    let names = Arc::new(Script::new([
        Lookup::of(&["127.0.0.1"]),
        Lookup::of(&["127.0.0.1"]),
    ]));
    let policy = named(&origin, &names, &[]);
    let denied = asking_within(patient(), policy, &key).await;
    assert_eq!(denied, Err("upstream-denied"));
    assert_eq!(upstream.connections(), 0);

    let policy = named(&origin, &names, &["127.0.0.0/8"]);
    let answer = asking_within(patient(), policy, &key).await.unwrap();
    assert!(answer.contains(r#""status":200"#), "{answer}");
}

// fault 26
// One address of each range. No socket is opened, because nothing is dialled.
#[tokio::test]
async fn a_name_that_resolves_to_no_public_address_is_denied() {
    let inward = [
        "0.0.0.0",
        "127.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fd00::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
    ];
    let names = Arc::new(Script::new(inward.map(|address| Lookup::of(&[address]))));
    let before = tasks();
    let subject = subject(patient(), named("http://in.example", &names, &[])).await;
    for address in inward {
        let answer = subject.ask("need:http://in.example").await;
        assert_eq!(answer, Err("upstream-denied"), "{address}");
        subject.connected(0).await;
    }
    assert_eq!(names.lookups().len(), inward.len());
    subject.gone(before).await;
}

// fault 26
#[tokio::test]
async fn a_wildcard_covers_only_subdomains() {
    let upstream = Upstream::start(Answer::Items).await;
    let port = upstream.address().port();
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.1"])]));
    let allowed = format!("http://*.example.com:{port}");
    let subject = subject(patient(), named(&allowed, &names, &["127.0.0.1/32"])).await;
    let below = subject
        .ask(format!("need:http://a.example.com:{port}"))
        .await;
    assert!(below.is_ok(), "{below:?}");
    for beside in [
        "example.com",
        "badexample.com",
        "a.example.com.evil.example",
    ] {
        let beside = subject.ask(format!("need:http://{beside}:{port}")).await;
        assert_eq!(beside, Err("upstream-denied"));
    }
    assert_eq!(names.lookups(), ["a.example.com"]);
    assert!(upstream.heads()[0].contains(&format!("host: a.example.com:{port}\r\n")));
}

// fault 27
// The first lookup is checked and dialled; the second, for another connection, is denied.
#[tokio::test]
async fn a_name_whose_answer_flips_is_dialled_where_it_was_checked() {
    let outside = Upstream::start_at("127.0.0.1", Answer::HangUp, None).await;
    let port = outside.address().port();
    // The same port of an address that the policy does not allow.
    let inside = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let flipping = [
        Lookup::of(&["127.0.0.1"]),
        Lookup::of(&["127.0.0.2"]),
        Lookup::of(&["127.0.0.2", "127.0.0.1"]),
    ];
    let names = Arc::new(Script::new(flipping));
    let origin = format!("http://flips.example:{port}");
    let policy = named(&origin, &names, &["127.0.0.1/32"]);
    let before = tasks();
    let subject = subject(patient(), policy).await;
    let key = format!("need:{origin}");
    // It hangs up, so every request needs a separate connection, and each of them one lookup.
    for (lookups, connections, code) in [
        (1, 1, "upstream-unavailable"),
        (2, 1, "upstream-denied"),
        // Of several addresses only those that are allowed are dialled.
        (3, 2, "upstream-unavailable"),
    ] {
        assert_eq!(subject.ask(&*key).await, Err(code));
        subject.connected(0).await;
        assert_eq!(names.lookups().len(), lookups);
        assert_eq!(outside.connections(), connections);
    }
    let accepted = futures_util::FutureExt::now_or_never(inside.accept());
    assert!(accepted.is_none(), "{accepted:?}");
    subject.gone(before).await;
}

// fault 28
#[tokio::test]
async fn a_redirect_that_a_guest_follows_is_a_request_like_any_other() {
    let secret = Upstream::start(Answer::Items).await;
    let upstream = Upstream::start(Answer::RedirectTo(secret.origin())).await;
    let followed = asking(
        &[&upstream.origin()],
        &format!("follow:{}", upstream.origin()),
    )
    .await;
    let followed = followed.unwrap();
    assert!(
        followed.contains("302") && followed.contains("HttpRequestDenied"),
        "{followed}"
    );
    let chased = asking(
        &[&upstream.origin()],
        &format!("chase:{}", upstream.origin()),
    )
    .await;
    assert_eq!(chased, Err("upstream-denied"));
    // The host itself follows no redirect.
    let redirect = asking(
        &[&upstream.origin(), &secret.origin()],
        &format!("need:{}", upstream.origin()),
    )
    .await;
    assert!(redirect.unwrap().contains(r#""status":302"#));
    assert_eq!(secret.connections(), 0);
}

// fault 29
#[tokio::test]
async fn headers_that_belong_to_the_connection_never_reach_the_wire() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    for name in [
        "host",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "via",
        "keep-alive",
        "http2-settings",
        "proxy-authorization",
        "proxy-connection",
        "proxy-anything",
    ] {
        let refused = asking(&[&origin], &format!("header:{name}=x:{origin}"))
            .await
            .unwrap();
        assert!(refused.contains("error"), "{name}: {refused}");
    }
    assert_eq!(upstream.connections(), 0);
    let sent = asking(&[&origin], &format!("header:x-mine=yes:{origin}"))
        .await
        .unwrap();
    assert!(
        sent.contains(&format!(r#""bytes":{}"#, ITEMS.len())),
        "{sent}"
    );
    // The whole head.
    let expected = format!(
        "GET / HTTP/1.1\r\nx-mine: yes\r\nuser-agent: oneflight/{}\r\nhost: {}\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
        upstream.address()
    );
    assert_eq!(upstream.heads(), [expected]);
}

// fault 29
#[tokio::test]
async fn the_path_of_a_request_never_names_another_host() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    for path in ["http://other.example/x", "other.example/x"] {
        let refused = asking(&[&origin], &format!("path:{path}|{origin}")).await;
        let expected = r#"[{"id":"0","body":{"error":"path"}}]"#;
        assert_eq!(refused.as_deref(), Ok(expected), "{path}");
    }
    assert_eq!(upstream.connections(), 0);
    // A path that looks like a host is a path of this host.
    let sent = asking(&[&origin], &format!("path://other.example/x|{origin}")).await;
    assert!(sent.unwrap().contains(r#""status":200"#));
    let expected = format!(
        "GET //other.example/x HTTP/1.1\r\nuser-agent: oneflight/{}\r\nhost: {}\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
        upstream.address()
    );
    assert_eq!(upstream.heads(), [expected]);
}

// fault 29
// A tunnel would bypass the policy.
#[tokio::test]
async fn a_guest_gets_no_tunnel() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    let tunnel = asking(&[&origin], &format!("method:CONNECT:{origin}")).await;
    assert!(tunnel.unwrap().contains("HttpRequestDenied"));
    assert_eq!(upstream.connections(), 0);
}

// fault 29
// A body of another length than announced never makes a whole request on the wire, nor the beginning of
// another.
#[tokio::test]
async fn a_body_of_another_length_than_announced_ends_its_connection() {
    for (kind, length, sent) in [
        ("post", 9, 5),
        ("abandon", 9, 5),
        ("post", 5, 9),
        ("abandon", 5, 9),
    ] {
        // One each: a request may be cut before the upstream has accepted its connection.
        let upstream = Upstream::start(Answer::Record).await;
        let origin = upstream.origin();
        let subject = subject(patient(), allowing(&[&origin])).await;
        let key = format!("{kind}:{length}:{sent}:{origin}");
        let outcome = subject.ask(&*key).await.unwrap();
        assert!(outcome.contains("error"), "{key}: {outcome}");
        subject.connected(0).await;
        upstream.closed(upstream.connections()).await;
        // All bytes up to the end of the connection, possibly none.
        let received = upstream.heads().pop().unwrap_or_default();
        if let Some((head, body)) = received.split_once("\r\n\r\n") {
            assert!(
                head.contains(&format!("content-length: {length}")),
                "{head}"
            );
            assert!(body.len() < length, "{key}: {body:?}");
        }
    }
}

#[tokio::test]
async fn a_client_has_no_more_connections_in_use_than_it_may() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = Limits {
        max_connections: 4,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let asking = tokio::spawn({
        let (subject, key) = (
            subject.clone(),
            format!("together:40:{}", upstream.origin()),
        );
        async move { subject.ask(key).await }
    });
    upstream.requested(4).await;
    // A request counts as sent in the poll in which it takes its permit, or begins to wait for one.
    failsafe("all requests to be sent", async {
        while subject.component.usage().upstream_requests < 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(subject.component.usage().connections, 4);
    assert_eq!((upstream.requests(), upstream.connections()), (4, 4));
    upstream.release();
    let answers = asking.await.unwrap().unwrap();
    assert_eq!(answers.matches(r#""status":200"#).count(), 40, "{answers}");
    subject.settled().await;
}

// fault 132
// It keeps the connections that it has, and waits for more.
#[tokio::test]
async fn a_flight_that_waits_for_a_connection_until_its_end_names_the_setting_to_raise() {
    let limits = Limits {
        max_connections: 4,
        flight_timeout: LIMIT,
        ..patient()
    };
    for (requests, setting) in [(4, "flight_timeout"), (5, "max_connections")] {
        let upstream = Upstream::start(Answer::Held).await;
        let limits = limits.clone();
        let subject = Subject::misbehaving(Settings {
            limits,
            ..reaching(&upstream)
        })
        .await;
        let key: Call = format!("together:{requests}:{}", upstream.origin()).into();
        let mut asking = pin!(subject.client.call(key.into()));
        tokio::select! {
            _ = &mut asking => panic!("the upstream holds its answers"),
            () = upstream.requested(4) => {}
        }
        let error = fast_forward(asking).await.result.unwrap_err();
        assert_eq!(error, ClientError::UpstreamTimeout(Some(setting)));
        assert!(
            error.to_string().contains(&format!("raise {setting}")),
            "{error}"
        );
        subject.connected(0).await;
    }
}

#[tokio::test]
async fn requests_of_one_client_reuse_a_connection() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    for n in 0..10 {
        assert!(
            subject
                .ask(format!("need:{}/{n}", upstream.origin()))
                .await
                .is_ok()
        );
        subject.settled().await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (10, 1));
}

#[tokio::test]
async fn idle_connections_never_block_one_that_is_needed() {
    let upstream = Upstream::start(Answer::Items).await;
    let port = upstream.address().port();
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.1"])]));
    let allowed = format!("http://*.example.com:{port}");
    let limits = Limits {
        max_connections: 2,
        ..patient()
    };
    let before = tasks();
    let subject = subject(limits, named(&allowed, &names, &["127.0.0.1/32"])).await;
    // Each host has a separate connection: two are kept idle, and no third.
    for n in 1..=10 {
        let answer = subject
            .ask(format!("need:http://host-{n}.example.com:{port}"))
            .await;
        assert!(answer.is_ok(), "{n}: {answer:?}");
        subject.connected(n.min(2)).await;
    }
    assert_eq!(upstream.connections(), 10);
    let again = subject
        .ask(format!("need:http://host-1.example.com:{port}/again"))
        .await;
    assert!(again.is_ok(), "{again:?}");
    assert_eq!(upstream.connections(), 10);
    subject.gone(before).await;
    upstream.closed(10).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_idle_timeout() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = Limits {
        idle_timeout: Duration::from_millis(100),
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    assert!(
        subject
            .ask(format!("need:{}", upstream.origin()))
            .await
            .is_ok()
    );
    upstream.closed(1).await;
    subject.connected(0).await;
}

#[tokio::test]
async fn no_connection_of_one_client_serves_another() {
    let upstream = Upstream::start(Answer::Items).await;
    let key = format!("need:{}", upstream.origin());
    let one = Subject::misbehaving(reaching(&upstream)).await;
    let other = Subject::misbehaving(reaching(&upstream)).await;
    assert!(one.ask(&*key).await.is_ok());
    assert!(other.ask(&*key).await.is_ok());
    assert_eq!(upstream.connections(), 2);
}

// fault 41
#[tokio::test]
async fn a_flight_makes_no_more_requests_than_it_may() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = Limits {
        max_requests: 3,
        ..patient()
    };
    let subject = subject(limits, allowing(&[&upstream.origin()])).await;
    let urls = [&*upstream.origin(); 4].join("|");
    // The limit is per flight, not per client.
    for flights in 1..=2 {
        let ended = subject.ask(format!("blame:other:{urls}")).await;
        assert_eq!(ended, Err("upstream-denied"));
        assert_eq!(upstream.requests(), flights * 3);
    }
}

#[tokio::test]
async fn only_listed_upstreams_get_the_trace_context() {
    let listed = Upstream::start(Answer::Items).await;
    let other = Upstream::start(Answer::Items).await;
    let policy = UpstreamPolicy {
        trace: vec![listed.origin().parse().unwrap()],
        ..allowing(&[&listed.origin(), &other.origin()])
    };
    let subject = subject(patient(), policy).await;
    let both = format!(
        "blame:other:{}|{}|{}",
        listed.origin(),
        other.origin(),
        listed.origin()
    );
    assert_eq!(subject.ask(&*both).await, Err("other"));
    // A header that the guest sets itself is replaced.
    let own = format!("header:traceparent=mine:{}", listed.origin());
    assert!(subject.ask(own).await.is_ok());
    let contexts: Vec<_> = listed
        .heads()
        .iter()
        .map(|head| {
            let mut lines = head
                .lines()
                .filter_map(|line| line.strip_prefix("traceparent: "));
            let context = lines.next().unwrap().to_owned();
            assert_eq!(lines.next(), None);
            context
        })
        .collect();
    assert_eq!(contexts.len(), 3);
    assert_eq!(contexts[0], contexts[1]);
    assert_ne!(contexts[0], contexts[2]);
    for context in contexts {
        let parts: Vec<_> = context.split('-').collect();
        assert!(
            matches!(parts[..], ["00", trace, span, "01"] if trace.len() == 32 && span.len() == 16)
        );
    }
    assert!(
        !other.heads()[0].contains("traceparent"),
        "{:?}",
        other.heads()
    );
}

fn believing(identity: &Identity, origins: &[&str]) -> UpstreamPolicy {
    UpstreamPolicy {
        roots: Roots::from_pem(identity.pem().as_bytes()).unwrap(),
        ..allowing(origins)
    }
}

// fault 42
#[tokio::test]
async fn a_certificate_is_trusted_where_its_root_is_given_and_its_name_matches() {
    let (right, wrong) = (
        Identity::new(&["127.0.0.1"]),
        Identity::new(&["other.example"]),
    );
    for (identity, given, believed) in [
        (&right, Some(&right), true),
        (&right, Some(&wrong), false),
        (&right, None, false),
        (&wrong, Some(&wrong), false),
    ] {
        let upstream = Upstream::start_at("127.0.0.1", Answer::Items, Some(identity)).await;
        let origin = upstream.origin().replace("http://", "https://");
        let policy = match given {
            Some(given) => believing(given, &[&origin]),
            None => allowing(&[&origin]),
        };
        let answer = asking_within(patient(), policy, &format!("need:{origin}")).await;
        let expected = if believed {
            None
        } else {
            Some("upstream-unavailable")
        };
        assert_eq!(answer.err(), expected);
        assert_eq!(upstream.requests(), usize::from(believed));
    }
}

// fault 6
// Over HTTP/2 a cancelled request resets its stream and leaves the connection open.
#[tokio::test]
async fn over_http2_a_request_that_is_given_up_resets_its_stream_alone() {
    let identity = Identity::new(&["127.0.0.1"]);
    let before = tasks();
    let mut upstream = Http2::start(&identity).await;
    let origin = upstream.origin();
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    let subject = subject(limits, believing(&identity, &[&origin])).await;
    assert!(subject.ask(format!("need:{origin}/ok")).await.is_ok());
    assert_eq!(upstream.event().await, Event::Connected);
    assert_eq!(upstream.event().await, Event::Requested("/ok".into()));
    for path in ["/silent", "/half"] {
        let mut asking = pin!(subject.ask(format!("need:{origin}{path}")));
        let requested = tokio::select! {
            answer = &mut asking => panic!("the upstream stalls, got {answer:?}"),
            event = upstream.event() => event,
        };
        assert_eq!(requested, Event::Requested(path.into()));
        let held = fast_forward(asking).await;
        assert_eq!(held, Err("upstream-timeout"), "{path}");
        let Event::Reset(reset, reason) = upstream.event().await else {
            panic!("{path} was not reset");
        };
        assert_eq!((&*reset, reason), (path, h2::Reason::CANCEL));
    }
    assert!(subject.ask(format!("need:{origin}/ok")).await.is_ok());
    assert_eq!(upstream.event().await, Event::Requested("/ok".into()));
    assert_eq!(subject.component.usage().connections, 1);
    subject.settled().await;
    drop(subject);
    assert_eq!(upstream.event().await, Event::Closed);
    drop(upstream);
    oneflight_tests::fewer_tasks(before).await;
}

#[tokio::test]
async fn failures_have_the_same_codes_over_http2() {
    let identity = Identity::new(&["127.0.0.1"]);
    let upstream = Http2::start(&identity).await;
    let origin = upstream.origin();
    let subject = subject(patient(), believing(&identity, &[&origin])).await;
    for (path, code, connections) in [
        ("/huge", "upstream-response-too-large", 1),
        ("/reset", "upstream-unavailable", 1),
        // Nothing more can be read on this connection.
        ("/endless", "upstream-response-too-large", 0),
    ] {
        let answer = subject.ask(format!("need:{origin}{path}")).await;
        assert_eq!(answer, Err(code), "{path}");
        subject.connected(connections).await;
    }
}

// All flights share one connection, which no flight may stall.
#[tokio::test]
async fn over_http2_guests_that_read_nothing_stall_no_other() {
    let identity = Identity::new(&["127.0.0.1"]);
    let before = tasks();
    let mut upstream = Http2::start(&identity).await;
    let origin = upstream.origin();
    let subject = subject(patient(), believing(&identity, &[&origin])).await;
    assert!(subject.ask(format!("need:{origin}/ok")).await.is_ok());
    assert_eq!(upstream.event().await, Event::Connected);
    assert_eq!(upstream.event().await, Event::Requested("/ok".into()));
    let mut held = Vec::new();
    for n in 0..40 {
        let (client, key) = (subject.client.clone(), format!("hold:{origin}/flood?{n}"));
        held.push(tokio::spawn(async move { client.call(key.into()).await }));
        assert_eq!(upstream.event().await, Event::Requested("/flood".into()));
    }
    let others = subject.ask(format!("need:{origin}/ok")).await;
    assert!(others.is_ok(), "{others:?}");
    assert_eq!(subject.component.usage().connections, 1);
    for held in held {
        held.abort();
    }
    subject.settled().await;
    drop((subject, upstream));
    oneflight_tests::fewer_tasks(before).await;
}

// fault 24
// Only the host can notice this, and requests that fail leave the connection open for others.
#[tokio::test]
async fn over_http2_a_connection_whose_peer_is_gone_is_closed() {
    let identity = Identity::new(&["127.0.0.1"]);
    let mut upstream = Http2::start(&identity).await;
    let origin = upstream.origin();
    let limits = Limits {
        connect_timeout: LIMIT / 3,
        ..patient()
    };
    let subject = subject(limits, believing(&identity, &[&origin])).await;
    let mut asking = pin!(subject.ask(format!("need:{origin}/freeze")));
    tokio::select! {
        answer = &mut asking => panic!("the upstream is frozen, got {answer:?}"),
        event = upstream.event() => assert_eq!(event, Event::Connected),
    }
    assert_eq!(upstream.event().await, Event::Requested("/freeze".into()));
    // A ping after that time, and as long again for its answer.
    let frozen = fast_forward(asking).await;
    assert_eq!(frozen, Err("upstream-unavailable"));
    subject.connected(0).await;
    assert!(subject.ask(format!("need:{origin}/ok")).await.is_ok());
}

// fault 65
#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used_and_named_without_its_password() {
    let upstream = Upstream::start(Answer::Items).await;
    let proxy = Upstream::start(Answer::Items).await;
    let url = format!("{}/{{x}}", upstream.origin());
    let secret = format!("http://user:hunter2@{}", proxy.address());
    let output = oneflight(&["get", "1", "--base-url", &url])
        .env("HTTP_PROXY", &secret)
        .env("https_proxy", &secret)
        .output();
    let output = failsafe("oneflight to end", output).await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let warning = "expected a direct route to upstreams, got https_proxy and HTTP_PROXY, which clients without the setting proxy do not use";
    assert!(log.contains(warning) && !log.contains("hunter2"), "{log}");
    assert_eq!((upstream.requests(), proxy.connections()), (1, 0));
    let without = run(&["get", "1", "--base-url", &url]).await;
    assert!(!String::from_utf8_lossy(&without.stderr).contains("direct route"));
}
