//! Limits and timeouts of connections to the service, HTTP versions and TLS.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight::ServerLimits;
use oneflight::server::Tls;
use oneflight_tests::caller::{Http2, exchange, get, rest, sending};
use oneflight_tests::folder::Folder;
use oneflight_tests::serving::Serving;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{NEVER, Subject, failsafe, reaching, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// A service with these limits.
async fn limited(upstream: &Upstream, limits: ServerLimits) -> Serving {
    let base_url = format!("{}/items", upstream.origin());
    let subject = Subject::builtin(&base_url, reaching(upstream)).await;
    Serving::with(subject, limits, None).await
}

/// A service that speaks TLS, with a certificate for `localhost`.
async fn in_tls(upstream: &Upstream) -> (Serving, Identity) {
    let identity = Identity::new(&["localhost"]);
    let tls = Tls::from_pem(identity.pem().as_bytes(), identity.key_pem().as_bytes()).unwrap();
    let base_url = format!("{}/items", upstream.origin());
    let subject = Subject::builtin(&base_url, reaching(upstream)).await;
    let serving = Serving::with(subject, ServerLimits::default(), Some(tls)).await;
    (serving, identity)
}

// fault 35
#[tokio::test]
async fn a_request_whose_head_is_slow_long_or_ambiguous_is_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let address = serving.callers;
    let lines = |lines: &str| format!("GET {ITEMS} HTTP/1.1\r\nhost: test\r\n{lines}\r\n");
    let many = sending(address, &lines(&"a: b\r\n".repeat(150))).await;
    assert!(rest(many).await.starts_with("HTTP/1.1 431 "));
    let of_bytes = async |bytes: usize| {
        let others = lines("a: \r\nconnection: close\r\n").len();
        let long = format!("a: {}\r\nconnection: close\r\n", "b".repeat(bytes - others));
        sending(address, &lines(&long)).await
    };
    let limit = ServerLimits::default().max_header_bytes;
    assert!(
        rest(of_bytes(limit).await)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        rest(of_bytes(limit + 1).await)
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    let two = "content-length: 1\r\ncontent-length: 2\r\n";
    let ambiguous = sending(address, &lines(two)).await;
    assert!(rest(ambiguous).await.starts_with("HTTP/1.1 400 "));
    let nowhere = sending(
        address,
        &format!("GET {ITEMS} HTTP/1.1\r\nconnection: close\r\n\r\n"),
    )
    .await;
    assert!(rest(nowhere).await.starts_with("HTTP/1.1 400 "));
    let slow = sending(address, "GET / HTTP/1.1\r\n").await;
    // From here on the clock jumps to the next timer whenever nothing else can run.
    tokio::time::pause();
    let closed = tokio::time::timeout(NEVER, rest(slow)).await;
    assert!(closed.is_ok(), "it waits for ever");
    assert_eq!(serving.subject.component.usage().guest_calls, 1);
}

// fault 35
// Over HTTP/2.
#[tokio::test]
async fn a_request_over_http2_whose_head_is_long_is_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let connection = Http2::to(serving.callers).await;
    let uri = format!("http://test{ITEMS}");
    let many = (0..150).fold(Request::get(&uri), |head, n| {
        head.header(format!("a-{n}"), "b")
    });
    let long = Request::get(&uri).header("a", "b".repeat(40_000));
    for request in [many, long] {
        let answer = connection.send(request.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    assert_eq!(connection.get(ITEMS).await.body(), ITEMS_JSON);
}

// fault 51
#[tokio::test]
async fn concurrent_streams_of_an_http2_connection_are_limited() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = ServerLimits {
        max_streams: 2,
        ..ServerLimits::default()
    };
    let serving = limited(&upstream, limits).await;
    let connection = Http2::to(serving.callers).await;
    assert_eq!(connection.get("/livez").await.status(), StatusCode::OK);
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(connection.get(ITEMS)))
        .collect();
    serving.waiting(2).await;
    // If the third were accepted, it would wait for the flight long before these are answered.
    for _ in 0..100 {
        assert_eq!(
            get(serving.callers, "/livez").await.status(),
            StatusCode::OK
        );
    }
    serving.waiting(2).await;
    upstream.release();
    for answer in failsafe("three answers", join_all(callers)).await {
        assert_eq!(answer.unwrap().body(), ITEMS_JSON);
    }
}

// fault 51
#[tokio::test]
async fn a_connection_past_the_limit_waits_until_another_has_no_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = ServerLimits {
        max_connections: 1,
        ..ServerLimits::default()
    };
    let serving = limited(&upstream, limits).await;
    let first = Http2::to(serving.callers).await;
    let request = tokio::spawn(first.get(ITEMS));
    serving.waiting(1).await;
    let second = tokio::spawn(get(serving.callers, "/livez"));
    // If the second were served, it would be answered long before these are. The admin address has separate
    // connections.
    for _ in 0..100 {
        let livez = failsafe("the operator's answer", get(serving.operator, "/livez")).await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
    assert!(!second.is_finished());
    upstream.release();
    let answer = failsafe("the first's answer", request).await.unwrap();
    assert_eq!(answer.body(), ITEMS_JSON);
    let answer = failsafe("the second's answer", second).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

// fault 50
#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let (in_tls, _identity) = in_tls(&upstream).await;
    let silent = sending(serving.callers, "").await;
    let half_a_preface = sending(serving.callers, "PRI * HTTP/2.0\r\n").await;
    let without_handshake = sending(in_tls.callers, "").await;
    let idle = Http2::to(serving.callers).await;
    assert_eq!(idle.get("/livez").await.status(), StatusCode::OK);
    // From here on the clock jumps to the next timer whenever nothing else can run.
    tokio::time::pause();
    for connection in [silent, half_a_preface, without_handshake] {
        let closed = tokio::time::timeout(NEVER, rest(connection)).await;
        assert_eq!(closed.expect("it waits for ever"), "");
    }
    let closed = tokio::time::timeout(NEVER, async {
        while !idle.is_closed() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(closed.await.is_ok(), "it waits for ever");
}

#[tokio::test]
async fn the_http_version_is_detected_when_its_first_bytes_come_one_by_one() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    // Both begin with the same byte. The answers to others show that it was read before the rest came.
    let mut one = sending(serving.callers, "P").await;
    let mut two = sending(serving.callers, "P").await;
    for _ in 0..10 {
        let livez = get(serving.callers, "/livez").await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
    let rest_of_one = format!("OST {ITEMS} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    one.write_all(rest_of_one.as_bytes()).await.unwrap();
    assert!(rest(one).await.starts_with("HTTP/1.1 405 "));
    // The rest of the preface and an empty SETTINGS frame, which is answered by one.
    let rest_of_two = b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    two.write_all(rest_of_two).await.unwrap();
    let mut frame = [0; 9];
    let read = two.read_exact(&mut frame);
    failsafe("a frame of HTTP/2", read).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[tokio::test]
async fn a_request_with_an_unread_body_keeps_its_connection() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let body = "x".repeat(4 << 10);
    let length = body.len();
    let connection = sending(
        serving.callers,
        &format!(
            "GET /livez HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}\
             GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
        ),
    )
    .await;
    let answers = rest(connection).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_connection_whose_requests_take_long_is_kept() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let http2 = Http2::to(serving.callers).await;
    let callers = [
        tokio::spawn(http2.get(ITEMS)),
        tokio::spawn(async move { get(serving.callers, ITEMS).await }),
    ];
    serving.waiting(2).await;
    upstream.requested(1).await;
    // From here on the clock jumps to the next timer whenever nothing else can run.
    tokio::time::pause();
    tokio::time::sleep(NEVER / 2).await;
    tokio::time::resume();
    upstream.release();
    for answer in failsafe("two answers", join_all(callers)).await {
        assert_eq!(answer.unwrap().body(), ITEMS_JSON);
    }
}

/// A caller that has not read any of its answer of 8,000,000 bytes and more, and whose kernel buffers little
/// of it.
async fn asking_for_much(serving: &Serving) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut caller = socket.connect(serving.callers).await.unwrap();
    let request = b"GET /v1/test/items?x=huge:8000000 HTTP/1.1\r\nhost: test\r\n\r\n";
    caller.write_all(request).await.unwrap();
    failsafe("the answer to begin", caller.readable())
        .await
        .unwrap();
    caller
}

// fault 49
#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_is_cut_off() {
    let serving = Serving::start(Subject::misbehaving(settings()).await).await;
    let mut caller = asking_for_much(&serving).await;
    // From here on the clock jumps to the next timer whenever nothing else can run.
    tokio::time::pause();
    tokio::time::sleep(NEVER).await;
    let mut read = Vec::new();
    let _ = caller.read_to_end(&mut read).await;
    assert!(read.starts_with(b"HTTP/1.1 200 "));
    assert!(read.len() < 8_000_000, "{}", read.len());
}

// fault 49
#[tokio::test]
async fn a_caller_that_reads_slowly_reads_its_whole_answer() {
    let serving = Serving::start(Subject::misbehaving(settings()).await).await;
    let mut caller = asking_for_much(&serving).await;
    // From here on the clock jumps to the next timer whenever nothing else can run.
    tokio::time::pause();
    let mut part = vec![0; 1_000_000];
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        caller.read_exact(&mut part).await.unwrap();
    }
}

#[tokio::test]
async fn tls_callers_get_the_http_version_that_they_negotiate() {
    let upstream = Upstream::start(Answer::Items).await;
    let (serving, identity) = in_tls(&upstream).await;
    let stream = identity.connect(serving.callers, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = Http2::over(stream).await.get(ITEMS).await;
    assert_eq!(answer.body(), ITEMS_JSON);

    let stream = identity.connect(serving.callers, &["http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = Request::get(ITEMS).header("host", "localhost");
    let answer = exchange(stream, request.body(Empty::new()).unwrap()).await;
    assert_eq!(answer.body(), ITEMS_JSON);

    // Without ALPN the first bytes decide.
    let stream = identity.connect(serving.callers, &[]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let request = Request::get(ITEMS).header("host", "localhost");
    let answer = exchange(stream, request.body(Empty::new()).unwrap()).await;
    assert_eq!(answer.body(), ITEMS_JSON);

    // Data that is no handshake ends its own connection and no other.
    let clear = sending(serving.callers, "GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut received = Vec::new();
    let _ = { clear }.read_to_end(&mut received).await;
    assert!(!received.starts_with(b"HTTP"), "{received:?}");
    // A handshake that is not finished does not delay another.
    let _shaking = TcpStream::connect(serving.callers).await.unwrap();
    let stream = identity.connect(serving.callers, &["h2"]).await;
    let answer = Http2::over(stream).await.get(ITEMS).await;
    assert_eq!(answer.body(), ITEMS_JSON);
}

#[test]
fn a_certificate_and_a_key_that_do_not_match_are_refused_and_never_printed() {
    let [one, other] = [(); 2].map(|()| Identity::new(&["localhost"]));
    let refused = |chain: &str, key: &str| {
        let refused = Tls::from_pem(chain.as_bytes(), key.as_bytes());
        format!("{:#}", refused.unwrap_err())
    };
    let (chain, key) = (one.pem(), one.key_pem());
    for (message, expected) in [
        (refused("", &key), "expected a certificate as PEM, got none"),
        (
            refused(&key, &key),
            "expected a certificate as PEM, got none",
        ),
        (refused(&chain, ""), "expected a private key as PEM"),
        (refused(&chain, &chain), "expected a private key as PEM"),
        (
            refused(&chain, &other.key_pem()),
            "got the key of another one",
        ),
        (
            refused(&chain.replace("MI", "!!"), &key),
            "got a malformed section",
        ),
        (
            refused(&chain, &key.replace("MI", "s3cret!")),
            "expected a private key as PEM",
        ),
    ] {
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
    let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(format!("{tls:?}"), "Tls { .. }");
}

#[tokio::test]
async fn curl_reads_items_in_both_versions_of_http_and_in_tls() {
    let upstream = Upstream::start(Answer::Items).await;
    let clear = Serving::in_front_of(&upstream).await;
    let (in_tls, identity) = in_tls(&upstream).await;
    let folder = Folder::new();
    let certificate = folder.write("localhost.pem", identity.pem().as_bytes());
    let (http, https) = (
        format!("http://localhost:{}{ITEMS}", clear.callers.port()),
        format!("https://localhost:{}{ITEMS}", in_tls.callers.port()),
    );
    for (args, version) in [
        (&["--http1.1", &http][..], "1.1"),
        (&["--http2-prior-knowledge", &http], "2"),
        (&["--cacert", &certificate, "--http1.1", &https], "1.1"),
        (&["--cacert", &certificate, &https], "2"),
    ] {
        let curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--noproxy",
                "*",
                "--ipv4",
            ])
            .args(["--write-out", "%{http_version}"])
            .args(args)
            .output();
        let output = failsafe("curl to end", curl).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{ITEMS_JSON}{version}"),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
