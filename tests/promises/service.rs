//! The service, as its callers and its operator see it, over real sockets.

use std::net::SocketAddr;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight::server::Service;
use oneflight_tests::caller::{code, get, header};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, artifacts, failsafe, process, reaching};
use tokio::net::TcpListener;

/// What callers ask for.
const ITEMS: &str = "/v1/test/items?x=42";

/// A service of the built-in client in front of `upstream`, in this process, so that a test can see
/// how many callers wait.
async fn in_front_of(upstream: &Upstream) -> (Subject, SocketAddr) {
    let subject =
        Subject::builtin(&format!("{}/items", upstream.origin()), reaching(upstream)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service::new(
        "test",
        subject.client.clone(),
        &oneflight::Limits::default(),
    );
    tokio::spawn(service.run(listener, std::future::pending()));
    (subject, address)
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
    failsafe("the service to accept no more", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {}
    })
    .await;
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
