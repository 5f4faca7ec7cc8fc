//! Shutdown of the service.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use oneflight::ServerLimits;
use oneflight_tests::caller::{Http2, code, get, header, rest, sending};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service};
use oneflight_tests::serving::Serving;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, reaching, settings};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

// fault 34
// One flight.
#[tokio::test]
async fn on_sigterm_open_flights_land_and_the_service_exits_with_0() {
    let upstream = Upstream::start(Answer::Held).await;
    let service = Service::start(&["--base-url", &format!("{}/items", upstream.origin())]).await;
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
    // One line per flight, with its code, its callers and a hash of the key.
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

// By flags alone, as in the quickstart.
#[tokio::test]
async fn without_a_file_the_service_answers_is_ready_and_exits_with_0() {
    let upstream = Upstream::start(Answer::Items).await;
    let base_url = format!("{}/items", upstream.origin());
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let client = ["--base-url", &base_url, "--flight-timeout", "1h"];
    let service = Service::start_plain(&[ports, client].concat()).await;
    let ready = get(service.address, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let answer = get(service.address, "/v1/default/items?x=42").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.body(), ITEMS_JSON);
    assert_eq!(upstream.requests(), 1);
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
}

// fault 34
// Flights that do not land in time.
#[tokio::test]
async fn flights_that_outlast_the_shutdown_grace_are_cancelled() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    let limits = ServerLimits {
        shutdown_delay: Duration::ZERO,
        // Nothing else ends the flight.
        shutdown_grace: Duration::from_millis(200),
        shutdown_write_timeout: NEVER,
        ..ServerLimits::default()
    };
    let mut serving = Serving::with(subject, limits, None).await;
    let caller = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    serving.shut_down();
    let answer = failsafe("the caller's answer", caller).await.unwrap();
    assert_eq!(
        (answer.status(), &*code(&answer)),
        (StatusCode::SERVICE_UNAVAILABLE, "cancelled")
    );
    assert_eq!(header(&answer, "retry-after"), "1");
    serving.ended().await;
    upstream.abandoned(1).await;
    serving.subject.settled().await;
}

#[tokio::test]
async fn during_shutdown_http2_requests_are_answered_before_their_connection_closes() {
    let upstream = Upstream::start(Answer::Held).await;
    let base_url = format!("{}/items", upstream.origin());
    let subject = Subject::builtin(&base_url, reaching(&upstream)).await;
    let limits = ServerLimits {
        shutdown_delay: Duration::ZERO,
        shutdown_grace: NEVER,
        shutdown_write_timeout: NEVER,
        ..ServerLimits::default()
    };
    let mut serving = Serving::with(subject, limits, None).await;
    let connection = Http2::to(serving.callers).await;
    let leader = tokio::spawn(connection.get(ITEMS));
    upstream.requested(1).await;
    serving.shut_down();
    unready(serving.callers).await;
    let follower = tokio::spawn(connection.get(ITEMS));
    serving.waiting(2).await;
    upstream.release();
    for caller in [leader, follower] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
    }
    serving.ended().await;
    failsafe("the connection to be closed", async {
        while !connection.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

// fault 34
// Under load.
#[tokio::test]
async fn during_shutdown_open_flights_can_be_joined_and_no_other_is_opened() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = format!(
        "{PATIENT}shutdown_delay = '0s'\n[clients.a]\nbase_url = '{}/items'\nlimits.flight_timeout = '1h'\n",
        upstream.origin()
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let address = service.address;
    let ask = |key: usize| get(address, &*format!("/v1/a/items?x={key}").leak());
    let mut callers: Vec<_> = (0..100).map(|n| tokio::spawn(ask(n % 10))).collect();
    upstream.requested(10).await;
    service.terminate();
    let refused = failsafe("no flight to be opened any more", async {
        // A flight that is still opened reaches the upstream instead. Each attempt has a key of its own: it
        // never joins the one before, which its caller has left.
        for opened in 10.. {
            tokio::select! {
                answer = ask(opened) => return answer,
                () = upstream.requested(opened + 1) => {}
            }
        }
        unreachable!("the numbers do not end");
    })
    .await;
    assert_eq!(
        (refused.status(), &*code(&refused)),
        (StatusCode::SERVICE_UNAVAILABLE, "cancelled")
    );
    assert_eq!(header(&refused, "retry-after"), "1");
    callers.extend((0..10).map(|key| tokio::spawn(ask(key))));
    // All of them join before the flights land.
    service.waiting("a", 110).await;
    upstream.release();
    for caller in callers {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
    }
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
}

// fault 49
#[tokio::test]
async fn a_caller_that_stops_reading_does_not_delay_the_shutdown() {
    let subject = Subject::misbehaving(settings()).await;
    let limits = ServerLimits {
        shutdown_delay: Duration::ZERO,
        // Nothing else ends the connection.
        shutdown_write_timeout: Duration::from_millis(100),
        ..ServerLimits::default()
    };
    let mut serving = Serving::with(subject, limits, None).await;
    let request = "GET /v1/test/items?x=huge:8000000 HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut caller = sending(serving.callers, request).await;
    failsafe("the answer to begin", caller.readable())
        .await
        .unwrap();
    serving.shut_down();
    serving.ended().await;
    let mut read = Vec::new();
    let _ = failsafe("the rest", caller.read_to_end(&mut read)).await;
    assert!(read.len() < 8_000_000, "{}", read.len());
}

// Cancel safety of `Service::run`.
#[tokio::test]
async fn dropping_the_service_closes_its_connections_and_cancels_their_flights() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let http2 = Http2::to(serving.callers).await;
    let callers = [
        tokio::spawn(http2.get(ITEMS)),
        tokio::spawn(get(serving.callers, ITEMS)),
    ];
    serving.waiting(2).await;
    upstream.requested(1).await;
    let subject = serving.subject.clone();
    drop(serving);
    upstream.abandoned(1).await;
    subject.settled().await;
    for caller in callers {
        let ended = failsafe("the connection to be closed", caller).await;
        assert!(ended.is_err(), "there is an answer");
    }
}

// fault 54
#[tokio::test]
async fn a_second_signal_ends_the_service_at_once() {
    let upstream = Upstream::start(Answer::Held).await;
    let args = ["--base-url", &upstream.origin()];
    let service = Service::start(&args).await;
    let address = service.address;
    let request = "GET /v1/default/items?x=42 HTTP/1.1\r\nhost: test\r\n\r\n";
    let _caller = sending(address, request).await;
    upstream.requested(1).await;
    service.terminate();
    unready(address).await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(130));
}

#[tokio::test]
async fn an_answer_that_is_being_read_during_shutdown_is_read_whole() {
    let service = Service::start(&["--component", artifacts::MISBEHAVING]).await;
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

/// Waits until the service reports that it is not ready.
async fn unready(address: SocketAddr) {
    failsafe("the service to be unready", async {
        while get(address, "/readyz").await.status() == StatusCode::OK {}
    })
    .await;
}
