//! The service, as its callers and its operator see it, over real sockets.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight::clients::{Clients, Served};
use oneflight::server::Service;
use oneflight::{ComponentClient, FrontLimits};
use oneflight_tests::caller::{code, get, header};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, process, reaching};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What callers ask for.
const ITEMS: &str = "/v1/test/items?x=42";

/// A service of the built-in client in front of `upstream`, in this process, so that a test can see
/// how many callers wait.
async fn in_front_of(upstream: &Upstream) -> (Subject, SocketAddr) {
    let subject =
        Subject::builtin(&format!("{}/items", upstream.origin()), reaching(upstream)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = serving(&subject, FrontLimits::default());
    tokio::spawn(async move { service.run(listener, None, pending()).await });
    (subject, address)
}

/// A service of the subject, whose table it shares.
fn serving(subject: &Subject, limits: FrontLimits) -> Service<ComponentClient> {
    let served = Served::of(subject.client.clone(), subject.component.settings().clone());
    Service::new(Arc::new(Clients::of([served])), Arc::default(), limits)
}

/// Waits until this many callers wait for a flight.
async fn waiting(subject: &Subject, callers: usize) {
    failsafe("the callers to wait", async {
        while subject.client.next().callers() != callers {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until the service says that it is not ready for more.
async fn unready(address: SocketAddr) {
    failsafe("the service to be unready", async {
        while get(address, "/readyz").await.status() == StatusCode::OK {}
    })
    .await;
}

// Row 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_a_cold_key_make_one_upstream_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let (subject, address) = in_front_of(&upstream).await;
    let callers: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(get(address, ITEMS)))
        .collect();
    waiting(&subject, 1_000).await;
    upstream.release();
    let answers = failsafe("a thousand answers", join_all(callers)).await;
    let mut leaders = 0;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status(), &**answer.body()),
            (StatusCode::OK, ITEMS_JSON.as_bytes())
        );
        match header(&answer, "cache-status") {
            "oneflight; fwd=miss" => leaders += 1,
            status => assert_eq!(status, "oneflight; fwd=miss; collapsed"),
        }
    }
    assert_eq!((leaders, upstream.requests()), (1, 1));
    subject.settled().await;
}

// Row 13.
#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_connection_may_close_and_the_others_are_answered() {
    let upstream = Upstream::start(Answer::Held).await;
    let (subject, address) = in_front_of(&upstream).await;
    let leader = tokio::spawn(get(address, ITEMS));
    upstream.requested(1).await;
    let followers: Vec<_> = (0..999)
        .map(|_| tokio::spawn(get(address, ITEMS)))
        .collect();
    waiting(&subject, 1_000).await;
    leader.abort();
    waiting(&subject, 999).await;
    upstream.release();
    let answers = failsafe("999 answers", join_all(followers)).await;
    for answer in answers {
        assert_eq!(answer.unwrap().body(), ITEMS_JSON);
    }
    assert_eq!(upstream.requests(), 1);
}

// Row 14.
#[tokio::test]
async fn when_the_last_connection_closes_so_does_the_upstreams() {
    let upstream = Upstream::start(Answer::Held).await;
    let (subject, address) = in_front_of(&upstream).await;
    let callers: Vec<_> = (0..3).map(|_| tokio::spawn(get(address, ITEMS))).collect();
    waiting(&subject, 3).await;
    upstream.requested(1).await;
    callers.iter().for_each(|caller| caller.abort());
    upstream.abandoned(1).await;
    subject.settled().await;
}

// Row 21.
#[tokio::test]
async fn a_key_that_is_too_long_missing_repeated_or_not_utf8_opens_no_flight() {
    let upstream = Upstream::start(Answer::Items).await;
    let (subject, address) = in_front_of(&upstream).await;
    let too_long = format!("x={}", "k".repeat(4097));
    for (query, status, expected) in [
        ("y=1", StatusCode::BAD_REQUEST, "bad-request"),
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
    assert_eq!(subject.component.usage().guest_calls, 0);
    let longest = get(address, &format!("/v1/test/items?x={}", "k".repeat(4096))).await;
    assert_eq!(longest.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_failure_is_a_problem_document_with_its_code() {
    for (answer, status, expected) in [
        (Answer::Status(404, ""), StatusCode::NOT_FOUND, "not-found"),
        (
            Answer::Status(500, ""),
            StatusCode::BAD_GATEWAY,
            "upstream-status",
        ),
        (
            Answer::HangUp,
            StatusCode::BAD_GATEWAY,
            "upstream-unavailable",
        ),
    ] {
        let upstream = Upstream::start(answer).await;
        let (_subject, address) = in_front_of(&upstream).await;
        let answer = get(address, ITEMS).await;
        assert_eq!((answer.status(), &*code(&answer)), (status, expected));
        assert_eq!(header(&answer, "cache-control"), "no-store");
    }
    let limited = Upstream::start(Answer::Status(429, "retry-after: 7\r\n")).await;
    let (_subject, address) = in_front_of(&limited).await;
    let answer = get(address, ITEMS).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&*code(&answer), header(&answer, "retry-after")),
        ("rate-limited", "7")
    );
}

// Row 5. In a process of its own: if guests were not interrupted, none of its threads would answer.
#[tokio::test]
async fn while_64_guests_spin_others_are_answered_and_all_64_are_stopped() {
    let args = [
        "--component",
        artifacts::MISBEHAVING,
        "--deadline",
        "1",
        "--log",
        "off",
    ];
    let service = process::Service::start(&args).await;
    let address = service.address;
    let spinning: Vec<_> = (0..64)
        .map(|n| {
            tokio::spawn(
                async move { get(address, &format!("/v1/default/items?x=spin:{n}")).await },
            )
        })
        .collect();
    let joining = get(address, "/v1/default/items?x=spin:0");
    let (livez, echo, joined) = failsafe("answers while guests spin", async {
        tokio::join!(
            get(address, "/livez"),
            get(address, "/v1/default/items?x=echo:a"),
            joining
        )
    })
    .await;
    assert_eq!(livez.status(), StatusCode::OK);
    assert_eq!(echo.body(), r#"[{"id":"a","body":"a"}]"#);
    assert_eq!(code(&joined), "guest-deadline");
    for answer in failsafe("all guests to be stopped", join_all(spinning)).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "guest-deadline");
    }
}

// Row 34, as far as one process goes.
#[tokio::test]
async fn on_sigterm_flights_under_way_land_and_the_service_ends_well() {
    let upstream = Upstream::start(Answer::Held).await;
    let service =
        process::Service::start(&["--base-url", &format!("{}/items", upstream.origin())]).await;
    let address = service.address;
    let caller = tokio::spawn(get(address, "/v1/default/items?x=42"));
    upstream.requested(1).await;
    service.terminate();
    unready(address).await;
    upstream.release();
    assert_eq!(
        failsafe("the answer", caller).await.unwrap().body(),
        ITEMS_JSON
    );
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    // One line per flight: with its code and its callers, and a hash where the key would be.
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("callers="))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("callers=1") && lines[0].contains(r#"code="ok""#),
        "{log}"
    );
    assert!(
        !lines[0].contains("42 ") && !lines[0].contains("=42"),
        "{log}"
    );
}

// Row 34, the leftovers.
#[tokio::test]
async fn flights_that_outlast_the_grace_are_cancelled_and_their_callers_told() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = FrontLimits {
        leave: Duration::ZERO,
        grace: Duration::from_millis(200),
        ..FrontLimits::default()
    };
    let service = serving(&subject, limits);
    let (shutdown, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        service
            .run(listener, None, async { drop(ended.await) })
            .await
    });
    let caller = tokio::spawn(get(address, ITEMS));
    upstream.requested(1).await;
    shutdown.send(()).unwrap();
    let answer = failsafe("the caller to be told", caller).await.unwrap();
    assert_eq!(
        (answer.status(), &*code(&answer)),
        (StatusCode::SERVICE_UNAVAILABLE, "cancelled")
    );
    assert_eq!(header(&answer, "retry-after"), "1");
    failsafe("the service to end", running).await.unwrap();
    upstream.abandoned(1).await;
    subject.settled().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_service_at_once() {
    let upstream = Upstream::start(Answer::Held).await;
    let args = ["--deadline", "3600", "--base-url", &upstream.origin()];
    let service = process::Service::start(&args).await;
    let address = service.address;
    let request = "GET /v1/default/items?x=42 HTTP/1.1\r\nhost: test\r\n\r\n";
    let _caller = sending(address, request).await;
    upstream.requested(1).await;
    service.terminate();
    unready(address).await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(130));
}

// Row 30, where the guest does not print: its errors and its last words.
#[tokio::test]
async fn what_a_guest_says_stands_in_the_log_as_harmless_lines() {
    let service = process::Service::start(&["--component", artifacts::MISBEHAVING]).await;
    for key in ["panic", "error:other:s3cret"] {
        get(service.address, &format!("/v1/default/items?x={key}")).await;
    }
    service.terminate();
    let (_, log) = service.ended().await;
    let is_line = |line: &str| line.contains(" INFO ") || line.contains(" WARN ");
    assert!(log.lines().all(is_line), "{log}");
    assert!(log.contains("on demand") && !log.contains('\x1b'), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn what_is_not_shared_says_so() {
    let upstream = Upstream::start(Answer::Items).await;
    let args = ["--no-coalescing", "--base-url", &upstream.origin()];
    let service = process::Service::start(&args).await;
    let answer = get(service.address, "/v1/default/items?x=42").await;
    assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=bypass");
}

/// A connection on which this was sent.
async fn sending(server: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the connection is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn an_answer_that_is_being_read_at_the_end_is_read_whole() {
    let service = process::Service::start(&["--component", artifacts::MISBEHAVING]).await;
    let request = "GET /v1/default/items?x=huge:8000000 HTTP/1.1\r\nhost: test\r\n\r\n";
    let reader = sending(service.address, request).await;
    failsafe("the answer to begin", reader.readable())
        .await
        .unwrap();
    service.terminate();
    failsafe("the service to accept no more", async {
        while TcpStream::connect(service.address).await.is_ok() {}
    })
    .await;
    let answer = failsafe("the rest", rest(reader)).await;
    assert!(answer.len() > 8_000_000, "{}", answer.len());
    assert_eq!(service.ended().await.0, Some(0));
}

// Row 35.
#[tokio::test]
async fn a_request_whose_head_is_slow_long_or_ambiguous_is_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let (subject, address) = in_front_of(&upstream).await;
    let lines = |lines: &str| format!("GET {ITEMS} HTTP/1.1\r\nhost: test\r\n{lines}\r\n");
    let many = sending(address, &lines(&"a: b\r\n".repeat(150))).await;
    assert!(rest(many).await.starts_with("HTTP/1.1 431 "));
    let two = "content-length: 1\r\ncontent-length: 2\r\n";
    let ambiguous = sending(address, &lines(two)).await;
    assert!(rest(ambiguous).await.starts_with("HTTP/1.1 400 "));
    let slow = sending(address, "GET / HTTP/1.1\r\n").await;
    // From here on time goes as fast as nothing else happens.
    tokio::time::pause();
    let closed = tokio::time::timeout(NEVER, rest(slow)).await;
    assert!(closed.is_ok(), "it waits for ever");
    assert_eq!(subject.component.usage().guest_calls, 0);
}

#[tokio::test]
async fn items_are_read_with_get_and_a_denial_keeps_its_reason_to_the_log() {
    let service = process::Service::start(&["--component", artifacts::MISBEHAVING]).await;
    let post =
        "POST /v1/default/items?x=echo:a HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let refused = rest(sending(service.address, post).await).await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    assert!(refused.contains("allow: GET\r\n"), "{refused}");
    let denied = get(service.address, "/v1/default/items?x=need:http://10.1.2.3/").await;
    assert_eq!(
        (denied.status(), &*code(&denied)),
        (StatusCode::BAD_GATEWAY, "upstream-denied")
    );
    let told = String::from_utf8_lossy(denied.body()).into_owned();
    assert!(!told.contains("10.1.2.3"), "{told}");
    service.terminate();
    let (_, log) = service.ended().await;
    assert!(log.contains("add --allow http://10.1.2.3"), "{log}");
}

// What rows 23 to 29 and 36 say of descriptors, in a process that has no others.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn requests_that_fail_leave_no_descriptor_open() {
    let cases = [
        (Answer::HangUp, "need", "upstream-unavailable"),
        (Answer::Reset, "need", "upstream-unavailable"),
        (Answer::NoHead, "need", "upstream-timeout"),
        (Answer::HalfBody, "blame:other", "upstream-timeout"),
        (Answer::BrokenBody, "blame:other", "upstream-unavailable"),
        (
            Answer::EndlessBody,
            "blame:other",
            "upstream-response-too-large",
        ),
        (Answer::EndlessHead, "need", "upstream-response-too-large"),
        (Answer::Raw("no HTTP\r\n\r\n"), "need", "upstream-malformed"),
        (Answer::Items, "method:CONNECT", ""),
    ];
    let mut upstreams = Vec::new();
    let mut allowed = Vec::new();
    for (answer, what, code) in cases {
        let upstream = Upstream::start(answer).await;
        allowed.extend(["--allow".to_owned(), upstream.origin()]);
        upstreams.push((upstream, what, code));
    }
    let component = ["--component", artifacts::MISBEHAVING, "--deadline", "2"];
    let allowed = allowed.iter().map(String::as_str);
    let args: Vec<_> = component.into_iter().chain(allowed).collect();
    let service = process::Service::start(&args).await;
    let denied = get(service.address, "/v1/default/items?x=need:http://10.1.2.3/").await;
    assert_eq!(code(&denied), "upstream-denied");
    let before = service.descriptors();
    for (upstream, what, expected) in &upstreams {
        let path = format!("/v1/default/items?x={what}:{}", upstream.origin());
        let answer = get(service.address, &path).await;
        match *expected {
            "" => assert_eq!(answer.status(), StatusCode::OK, "{path}"),
            expected => assert_eq!(code(&answer), expected, "{path}"),
        }
        upstream.closed(upstream.connections()).await;
    }
    failsafe("descriptors to be closed", async {
        while service.descriptors() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
