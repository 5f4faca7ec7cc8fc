//! Callers that send something else than requests. The fuzz targets `caller_http1` and `caller_http2` generate more of
//! it; these are the cases that every reader should know.

use http::StatusCode;
use oneflight_tests::caller::get;
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{failsafe, fewer_tasks, tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// Sends `bytes` and the end of the data, and returns everything that arrives until the connection is closed.
async fn exchange(serving: &Serving, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(serving.callers).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    // A reset, if the service has not read everything, comes after all that it has sent.
    let _ = failsafe("the end", stream.read_to_end(&mut received)).await;
    received
}

// fault 103
#[tokio::test]
async fn bytes_that_are_no_request_open_no_flight_and_end_their_connection() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let before = tasks();
    for bytes in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0",
        b"\x16\x03\x01\x02\0\x01\0",
        b"GET",
        b"GET /v1/test/items?x=42 HTTP/1.1\r\nhost: a\r\n",
        b"GET /v1/test/items?x=42 HTTP/1.1\r\nhost a\r\n\r\n",
        b"GET /v1/test/items?x=42 HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        b"GET /v1/test/items?x=42 HTTP/3.7\r\nhost: a\r\n\r\n",
        b"GET  /v1/test/items?x=42 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET v1/test/items?x=42 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /v1/test/items?x=\x80 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let received = exchange(&serving, bytes).await;
        let text = String::from_utf8_lossy(&received);
        let is_refused = text.is_empty() || text.starts_with("HTTP/1.1 400 ");
        assert!(is_refused, "{}: {text}", bytes.escape_ascii());
        fewer_tasks(before).await;
    }
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    assert_eq!(get(serving.callers, ITEMS).await.status(), StatusCode::OK);
}

// fault 103
#[tokio::test]
async fn a_request_in_the_body_of_another_or_after_an_ambiguous_one_opens_no_flight() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let inner = format!("GET {ITEMS} HTTP/1.1\r\nhost: a\r\n\r\n");
    let length = inner.len();
    let chunks = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    for (headers, body) in [
        (format!("content-length: {length}"), &inner),
        ("transfer-encoding: chunked".to_owned(), &chunks),
        // Whichever of the two a proxy in front goes by, there is no request after this one.
        (
            format!("content-length: {length}\r\ncontent-length: 0"),
            &inner,
        ),
        ("content-length: +0".to_owned(), &inner),
        ("transfer-encoding: chunked, identity".to_owned(), &inner),
    ] {
        let request = format!("POST {ITEMS} HTTP/1.1\r\nhost: a\r\n{headers}\r\n\r\n{body}");
        let received = exchange(&serving, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&received);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{headers}: {text}");
    }
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
}

/// A frame of HTTP/2: RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// The code of the error that ends a connection, from the GOAWAY among these frames.
fn error_code(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    None
}

// fault 103
#[tokio::test]
async fn frames_of_http2_that_are_not_valid_open_no_flight_and_end_their_connection() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let before = tasks();
    // `:method: GET`, `:scheme: http`, `:path: /`, without an authority.
    let fields = &[0x82, 0x86, 0x84];
    let largest = &u32::MAX.to_be_bytes();
    for (name, frames) in [
        ("HEADERS of no stream", frame(1, 5, 0, fields)),
        ("HEADERS of a server's stream", frame(1, 5, 2, fields)),
        ("a field of no table", frame(1, 5, 1, &[0xbe])),
        ("CONTINUATION of nothing", frame(9, 4, 1, fields)),
        (
            "HEADERS without an end",
            [frame(1, 1, 1, fields), frame(6, 0, 0, &[0; 8])].concat(),
        ),
        ("DATA of an idle stream", frame(0, 1, 1, b"x")),
        ("PING of four bytes", frame(6, 0, 0, &[0; 4])),
        ("SETTINGS of five bytes", frame(4, 0, 0, &[0; 5])),
        ("a window beyond its maximum", frame(8, 0, 0, largest)),
        ("PUSH_PROMISE", frame(5, 4, 1, &[0, 0, 0, 2, 0x82])),
    ] {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let sent = [&preface[..], &frame(4, 0, 0, &[]), &frames].concat();
        let received = exchange(&serving, &sent).await;
        let code = error_code(&received);
        assert!(code.is_some_and(|code| code > 0), "{name}: {code:?}");
        fewer_tasks(before).await;
    }
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    assert_eq!(get(serving.callers, ITEMS).await.status(), StatusCode::OK);
}
