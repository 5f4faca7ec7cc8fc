//! How long a caller's connection may be without a request.

use std::time::Duration;

use http::StatusCode;
use oneflight::ServerLimits;
use oneflight::server::Tls;
use oneflight_tests::caller::{Http2, get, rest, sending};
use oneflight_tests::serving::Serving;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{NEVER, Subject, failsafe, fast_forward, reaching};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// Requests `/livez` on a connection that is kept, and reads up to the end of the body `ok`.
async fn livez(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let request = b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let read = failsafe("an answer", stream.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

/// A service of the built-in client with these limits, and with TLS if given.
async fn limited(upstream: &Upstream, limits: ServerLimits, tls: Option<Tls>) -> Serving {
    let base_url = format!("{}/items", upstream.origin());
    let subject = Subject::builtin(&base_url, reaching(upstream)).await;
    Serving::with(subject, limits, tls).await
}

// fault 75
// A balancer keeps a connection for 60 s and more before it sends the next request on it.
#[tokio::test]
async fn an_idle_connection_is_kept_for_the_idle_timeout_and_no_longer() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let mut one = sending(serving.callers, "").await;
    let two = Http2::to(serving.callers).await;
    livez(&mut one).await;
    assert_eq!(two.get("/livez").await.status(), StatusCode::OK);
    fast_forward(sleep(Duration::from_secs(70))).await;
    livez(&mut one).await;
    assert_eq!(two.get("/livez").await.status(), StatusCode::OK);
    fast_forward(async {
        let closed = timeout(Duration::from_secs(80), rest(one)).await;
        assert_eq!(closed.expect("it is kept for ever"), "");
    })
    .await;
    failsafe("HTTP/2 to be closed", async {
        while !two.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The preface of HTTP/2 with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The types of the HTTP/2 frames that arrive until the connection is closed.
async fn frames(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut types = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        types.push(head[3]);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
    }
    types
}

/// A service that speaks TLS, with these limits and a certificate for `localhost`.
async fn in_tls(upstream: &Upstream, limits: ServerLimits) -> (Serving, Identity) {
    let identity = Identity::new(&["localhost"]);
    let tls = Tls::from_pem(identity.pem().as_bytes(), identity.key_pem().as_bytes()).unwrap();
    (limited(upstream, limits, Some(tls)).await, identity)
}

/// Returns once the service has read what its callers have sent: it has answered others since.
async fn has_read(serving: &Serving) {
    for _ in 0..10 {
        let livez = get(serving.operator, "/livez").await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
}

// fault 75
// A balancer may open connections before it has requests for them.
#[tokio::test]
async fn a_connection_opened_in_advance_is_kept_for_the_idle_timeout_and_no_longer() {
    const GOAWAY: u8 = 7;
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let (in_tls, identity) = in_tls(&upstream, ServerLimits::default()).await;
    let plaintext = Http2::to(serving.callers).await;
    let over_tls = identity.connect(in_tls.callers, &["h2"]).await;
    let mut http1 = identity.connect(in_tls.callers, &["http/1.1"]).await;
    let mut unused = sending(serving.callers, "").await;
    unused.write_all(PREFACE).await.unwrap();
    let mut unused_over_tls = identity.connect(in_tls.callers, &["h2"]).await;
    unused_over_tls.write_all(PREFACE).await.unwrap();
    let mut unused_http1 = identity.connect(in_tls.callers, &["http/1.1"]).await;
    has_read(&serving).await;
    has_read(&in_tls).await;
    fast_forward(sleep(Duration::from_secs(70))).await;
    assert_eq!(plaintext.get("/livez").await.status(), StatusCode::OK);
    let over_tls = Http2::over(over_tls).await;
    assert_eq!(over_tls.get("/livez").await.status(), StatusCode::OK);
    livez(&mut http1).await;
    let closed = timeout(Duration::from_secs(30), async {
        for types in [frames(unused).await, frames(unused_over_tls).await] {
            assert!(types.contains(&GOAWAY), "{types:?}");
        }
        let mut received = Vec::new();
        let _ = unused_http1.read_to_end(&mut received).await;
        assert_eq!(received, b"");
    });
    let closed = fast_forward(closed).await;
    closed.expect("they are kept for ever");
}

// fault 50
#[tokio::test]
async fn half_a_preface_and_half_a_request_head_have_the_header_timeout_also_in_tls() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = ServerLimits {
        idle_timeout: NEVER * 2,
        ..ServerLimits::default()
    };
    let plaintext = limited(&upstream, limits.clone(), None).await;
    let (in_tls, identity) = in_tls(&upstream, limits).await;
    let mut open: Vec<Box<dyn AsyncRead + Unpin>> = Vec::new();
    for part in [&PREFACE[..23], b"P", b"GET /livez HTTP/1.1\r\n"] {
        let mut stream = sending(plaintext.callers, "").await;
        stream.write_all(part).await.unwrap();
        open.push(Box::new(stream));
        for protocols in [&["h2"][..], &[]] {
            let mut stream = identity.connect(in_tls.callers, protocols).await;
            stream.write_all(part).await.unwrap();
            open.push(Box::new(stream));
        }
    }
    let mut http1 = identity.connect(in_tls.callers, &["http/1.1"]).await;
    http1.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    open.push(Box::new(http1));
    has_read(&plaintext).await;
    has_read(&in_tls).await;
    let closed = timeout(NEVER, async {
        for mut stream in open {
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received).await;
            assert_eq!(received, b"");
        }
    });
    let closed = fast_forward(closed).await;
    closed.expect("they wait for ever");
}

// fault 75
// The time for the next request head starts with its first byte.
#[tokio::test]
async fn the_next_request_has_the_header_timeout_from_its_first_byte() {
    let upstream = Upstream::start(Answer::Items).await;
    let limits = ServerLimits {
        idle_timeout: NEVER * 2,
        ..ServerLimits::default()
    };
    let serving = limited(&upstream, limits, None).await;
    let mut kept = sending(serving.callers, "").await;
    livez(&mut kept).await;
    fast_forward(sleep(NEVER)).await;
    livez(&mut kept).await;
    kept.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    // The answer to another shows that those bytes have been read.
    for _ in 0..10 {
        let livez = get(serving.callers, "/livez").await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
    fast_forward(async {
        let closed = timeout(NEVER, rest(kept)).await;
        assert_eq!(closed.expect("it waits for ever"), "");
    })
    .await;
}

// fault 75
#[tokio::test]
async fn at_the_limit_of_connections_the_one_that_is_idle_for_longest_is_closed_for_a_new_one() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = ServerLimits {
        max_connections: 4,
        ..ServerLimits::default()
    };
    let serving = limited(&upstream, limits, None).await;
    let request = format!("GET {ITEMS} HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut busy = sending(serving.callers, &request).await;
    serving.waiting(1).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut stream = sending(serving.callers, "").await;
        livez(&mut stream).await;
        kept.push(stream);
        // Idle times are in milliseconds.
        sleep(Duration::from_millis(2)).await;
    }
    livez(&mut kept[0]).await;
    let mut new = sending(serving.callers, "").await;
    livez(&mut new).await;
    let closed = failsafe("the longest idle one to be closed", rest(kept.remove(1)));
    assert_eq!(closed.await, "");
    for stream in &mut kept {
        livez(stream).await;
    }
    upstream.release();
    let mut answer = Vec::new();
    while !answer.ends_with(ITEMS_JSON.as_bytes()) {
        let read = failsafe("an answer", busy.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap(), 0);
    }
}
