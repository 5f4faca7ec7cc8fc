//! Bodies of requests for typed functions that arrive slowly, or while the service shuts down.

use std::net::SocketAddr;

use http::StatusCode;
use oneflight::unread::REQUEST_BYTES;
use oneflight::{Limits, ServerLimits, Settings};
use oneflight_tests::caller::{get, rest, sending};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::Service;
use oneflight_tests::serving::Serving;
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::typed::{sharing, text};

/// The head of a request for `next` whose body has this length. The service asks for the body once it counts it.
fn head(length: usize) -> String {
    format!(
        "POST /v1/test/next HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    )
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// Reads as many bytes as a response to such a head begins with.
async fn first_bytes(caller: &mut TcpStream) -> String {
    let mut first = [0; CONTINUE.len()];
    failsafe("the first bytes", caller.read_exact(&mut first))
        .await
        .unwrap();
    String::from_utf8(first.to_vec()).unwrap()
}

// fault 121
#[tokio::test]
async fn of_hundreds_of_slow_bodies_those_are_read_that_fit_and_others_are_served() {
    const LENGTH: usize = 60_000;
    const FITTING: usize = (4 << 20) / (LENGTH + REQUEST_BYTES);
    let settings = Settings {
        limits: Limits {
            max_result_bytes: 1 << 10,
            ..settings().limits
        },
        ..sharing(&["next"], settings())
    };
    let limits = ServerLimits {
        header_timeout: NEVER,
        max_unread_bytes: 4 << 20,
        ..ServerLimits::default()
    };
    let serving = Serving::with(
        Subject::load(artifacts::TYPED, settings).await,
        limits,
        None,
    )
    .await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..300 {
        let mut caller = sending(serving.callers, &head(LENGTH)).await;
        if first_bytes(&mut caller).await == CONTINUE {
            open.push(caller);
        } else {
            let answer = failsafe("the end of the connection", rest(caller)).await;
            assert!(
                answer.contains("overloaded") && answer.contains("max_unread_bytes"),
                "{answer}"
            );
            refused += 1;
        }
    }
    assert_eq!((open.len(), refused), (FITTING, 300 - FITTING));
    // A small request is still served.
    let other = get(serving.callers, "/v1/test/next?number=1").await;
    assert_eq!((other.status(), text(&other)), (StatusCode::OK, "2"));
    // So is a body that arrives in the end, and what it took is free for another one.
    let mut caller = open.pop().unwrap();
    let body = format!("{:<LENGTH$}", r#"{"number":41}"#);
    caller.write_all(body.as_bytes()).await.unwrap();
    let answer = first_bytes(&mut caller).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(caller);
    let mut next = sending(serving.callers, &head(LENGTH)).await;
    assert_eq!(first_bytes(&mut next).await, CONTINUE);
    drop((open, next));
    serving.subject.settled().await;
}

/// Waits until no new connection is served. That no flight is opened any more has begun before.
async fn no_new_connections(server: SocketAddr) {
    let is_served = async || {
        let mut stream = TcpStream::connect(server).await?;
        let request = b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        stream.read_u8().await
    };
    failsafe("the end of the listener", async {
        while is_served().await.is_ok() {}
    })
    .await;
}

/// A service that waits this long for responses when it shuts down.
async fn service(folder: &Folder, write_timeout: &str) -> Service {
    let config = format!(
        "[limits]\nheader_timeout = '1h'\nshutdown_delay = '0ms'\nshutdown_write_timeout = '{write_timeout}'\n\
         [clients.test]\ncomponent = '{}'\n",
        artifacts::TYPED
    );
    let file = folder.write("oneflight.toml", config.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    service
}

// fault 122
#[tokio::test]
async fn a_body_that_arrives_once_no_flight_is_opened_any_more_is_refused_with_503() {
    let folder = Folder::new();
    let service = service(&folder, "1h").await;
    let mut caller = sending(service.address, &head(13)).await;
    assert_eq!(first_bytes(&mut caller).await, CONTINUE);
    caller.write_all(br#"{"num"#).await.unwrap();
    service.terminate();
    no_new_connections(service.address).await;
    caller.write_all(br#"ber":41}"#).await.unwrap();
    let answer = failsafe("the end of the connection", rest(caller)).await;
    // No flight is opened any more.
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

// fault 122
#[tokio::test]
async fn a_body_that_does_not_arrive_does_not_delay_the_shutdown() {
    let folder = Folder::new();
    let service = service(&folder, "100ms").await;
    let mut caller = sending(service.address, &head(13)).await;
    assert_eq!(first_bytes(&mut caller).await, CONTINUE);
    service.terminate();
    let answer = failsafe("the end of the connection", rest(caller)).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
        "{answer}"
    );
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
}
