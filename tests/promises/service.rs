//! Sharing, limits and isolation through the service, over real sockets.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight::registry::ClientRegistry;
use oneflight::{Limits, ServerLimits, Settings, Sharing};
use oneflight_tests::caller::{Http2, code, get, get_with, header};
use oneflight_tests::folder::Folder;
use oneflight_tests::serving::{Serving, served};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, process, reaching};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// The header that requests a fresh flight.
const NO_CACHE: &[(&str, &str)] = &[("cache-control", "no-cache")];

// fault 1
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_a_cold_key_make_one_upstream_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let callers: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    serving.waiting(1_000).await;
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
    serving.subject.settled().await;
}

// fault 13
#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_connection_may_close_and_the_others_are_answered() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let leader = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    let followers: Vec<_> = (0..999)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    serving.waiting(1_000).await;
    leader.abort();
    serving.waiting(999).await;
    upstream.release();
    let answers = failsafe("999 answers", join_all(followers)).await;
    for answer in answers {
        assert_eq!(answer.unwrap().body(), ITEMS_JSON);
    }
    assert_eq!(upstream.requests(), 1);
}

// fault 14
#[tokio::test]
async fn when_the_last_connection_closes_so_does_the_upstreams() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    serving.waiting(3).await;
    upstream.requested(1).await;
    callers.iter().for_each(|caller| caller.abort());
    upstream.abandoned(1).await;
    serving.subject.settled().await;
}

// fault 2
#[tokio::test]
async fn two_clients_called_with_the_same_key_open_a_flight_each() {
    let upstream = Upstream::start(Answer::Held).await;
    let client = async |name: &str| {
        let name = name.to_owned();
        let settings = Settings {
            name,
            ..reaching(&upstream)
        };
        Subject::builtin(&upstream.origin(), settings).await
    };
    let (orders, parts) = (client("orders").await, client("parts").await);
    let clients = Arc::new(ClientRegistry::of([served(&orders), served(&parts)]));
    let serving = Serving::of(clients, orders, ServerLimits::default(), None).await;
    let ask = |name| {
        let path = format!("/v1/{name}/items?x=42");
        tokio::spawn(async move { get(serving.callers, &path).await })
    };
    let callers = [ask("orders"), ask("parts")];
    upstream.requested(2).await;
    upstream.release();
    for answer in failsafe("two answers", join_all(callers)).await {
        assert_eq!(
            header(&answer.unwrap(), "cache-status"),
            "oneflight; fwd=miss"
        );
    }
    assert_eq!(upstream.requests(), 2);
}

// fault 13, 14
// All callers use one connection.
#[tokio::test]
async fn callers_over_one_http2_connection_share_a_flight_and_leave_it_one_by_one() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let connection = Http2::to(serving.callers).await;
    let leader = tokio::spawn(connection.get(ITEMS));
    upstream.requested(1).await;
    let followers: Vec<_> = (0..99)
        .map(|_| tokio::spawn(connection.get(ITEMS)))
        .collect();
    serving.waiting(100).await;
    leader.abort();
    serving.waiting(99).await;
    upstream.release();
    for answer in failsafe("99 answers", join_all(followers)).await {
        let answer = answer.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
        assert_eq!(
            header(&answer, "cache-status"),
            "oneflight; fwd=miss; collapsed"
        );
    }
    assert_eq!(upstream.requests(), 1);

    let upstream = Upstream::start(Answer::Held).await;
    let limits = ServerLimits {
        header_timeout: NEVER,
        ..ServerLimits::default()
    };
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    let serving = Serving::with(subject, limits, None).await;
    let connection = Http2::to(serving.callers).await;
    let last = tokio::spawn(connection.get(ITEMS));
    upstream.requested(1).await;
    last.abort();
    upstream.abandoned(1).await;
    serving.subject.settled().await;
    assert!(!connection.is_closed());

    let socket = std::net::TcpStream::connect(serving.callers).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
    let connection = Http2::over(stream).await;
    let _last = tokio::spawn(connection.get(ITEMS));
    upstream.requested(2).await;
    socket.shutdown(Shutdown::Both).unwrap();
    upstream.abandoned(2).await;
    serving.subject.settled().await;
}

// fault 16
#[tokio::test]
async fn a_callers_own_deadline_ends_its_request_and_no_other() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let callers = serving.callers;
    let leader = tokio::spawn(get_with(callers, ITEMS, &[("prefer", "wait=3600")]));
    upstream.requested(1).await;
    for wait in ["wait=0", "respond-async, wait=1;a=b"] {
        let answer = failsafe("a deadline", get_with(callers, ITEMS, &[("prefer", wait)])).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "caller-deadline");
        assert_eq!(header(&answer, "preference-applied"), "wait");
        assert_eq!(
            header(&answer, "proxy-status"),
            "oneflight; error=http_response_timeout"
        );
    }
    let unheard = tokio::spawn(get_with(callers, ITEMS, &[("prefer", "wait=soon")]));
    serving.waiting(2).await;
    upstream.release();
    let answer = failsafe("the leader's answer", leader).await.unwrap();
    assert_eq!(answer.body(), ITEMS_JSON);
    assert_eq!(header(&answer, "preference-applied"), "wait");
    assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    let answer = failsafe("the other's answer", unheard).await.unwrap();
    assert_eq!(answer.body(), ITEMS_JSON);
    assert!(!answer.headers().contains_key("preference-applied"));
    assert_eq!(upstream.requests(), 1);
}

// fault 17
#[tokio::test]
async fn a_flight_older_than_the_join_window_answers_only_its_own_callers() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = Settings {
        sharing: Sharing::Coalesced {
            join_window: Some(Duration::ZERO),
            allow_fresh: false,
        },
        ..reaching(&upstream)
    };
    let serving = Serving::start(Subject::builtin(&upstream.origin(), settings).await).await;
    let early = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    let late = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(2).await;
    upstream.release();
    for caller in [early, late] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    }
    serving.subject.settled().await;
}

// fault 43
// contract 5, 7
#[tokio::test]
async fn a_caller_may_have_a_flight_of_its_own_where_the_client_grants_it_and_not_without_bound() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = reaching(&upstream);
    let limits = Limits {
        max_executions_per_key: 2,
        ..settings.limits.clone()
    };
    let sharing = Sharing::Coalesced {
        join_window: None,
        allow_fresh: true,
    };
    let settings = Settings {
        limits,
        sharing,
        ..settings
    };
    let serving = Serving::start(Subject::builtin(&upstream.origin(), settings).await).await;
    let callers = serving.callers;
    let first = tokio::spawn(get(callers, ITEMS));
    upstream.requested(1).await;
    let own = tokio::spawn(get_with(callers, ITEMS, NO_CACHE));
    upstream.requested(2).await;
    let refused = get_with(callers, ITEMS, NO_CACHE).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code(&refused), "overloaded");
    assert_eq!(header(&refused, "retry-after"), "1");
    // The refused call superseded nothing; the one before superseded the first.
    let joined = tokio::spawn(get(callers, ITEMS));
    serving.waiting(3).await;
    upstream.release();
    for (caller, status) in [
        (first, "oneflight; fwd=miss"),
        (own, "oneflight; fwd=bypass"),
        (joined, "oneflight; fwd=miss; collapsed"),
    ] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "cache-status"), status);
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_caller_that_requests_a_fresh_flight_shares_one_if_the_client_does_not_allow_it() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let first = tokio::spawn(get(serving.callers, ITEMS));
    upstream.requested(1).await;
    let other = tokio::spawn(get_with(serving.callers, ITEMS, NO_CACHE));
    serving.waiting(2).await;
    upstream.release();
    failsafe("the first's answer", first).await.unwrap();
    let answer = failsafe("the other's answer", other).await.unwrap();
    assert_eq!(
        header(&answer, "cache-status"),
        "oneflight; fwd=miss; collapsed"
    );
    assert_eq!(upstream.requests(), 1);
}

// fault 18, 19
#[tokio::test]
async fn callers_and_flights_past_their_limits_get_503_and_the_others_stay() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = reaching(&upstream);
    let limits = Limits {
        max_flights: 1,
        max_callers: 2,
        ..settings.limits.clone()
    };
    let settings = Settings { limits, ..settings };
    let serving = Serving::start(Subject::builtin(&upstream.origin(), settings).await).await;
    let callers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(get(serving.callers, ITEMS)))
        .collect();
    serving.waiting(2).await;
    for path in [ITEMS, "/v1/test/items?x=another"] {
        let answer = get(serving.callers, path).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code(&answer), "overloaded");
        assert_eq!(header(&answer, "retry-after"), "1");
        assert_eq!(
            header(&answer, "proxy-status"),
            "oneflight; error=proxy_internal_response"
        );
    }
    upstream.release();
    for answer in failsafe("two answers", join_all(callers)).await {
        assert_eq!(answer.unwrap().body(), ITEMS_JSON);
    }
    assert_eq!(upstream.requests(), 1);
}

// fault 5
// In a separate process: if guests were not interrupted, none of its threads would answer. No limit ends the
// guests of the client `endless`, and their processor time those of the client `spinning`.
#[tokio::test]
async fn while_64_guests_spin_others_are_answered_and_all_64_are_stopped() {
    let client = |name: &str, limits: &str| {
        format!(
            "[clients.{name}]\ncomponent = '{}'\nlimits.flight_timeout = '1h'\nlimits.queue_timeout = '1h'\n{limits}\n",
            artifacts::MISBEHAVING
        )
    };
    let config = process::PATIENT.to_owned()
        + &client(
            "spinning",
            "limits.max_executions = 64\nlimits.max_cpu_time = '250ms'",
        )
        + &client(
            "endless",
            "limits.max_executions = 65\nlimits.max_cpu_time = '1h'",
        )
        + &client(
            "other",
            "limits.max_executions = 8\nlimits.max_cpu_time = '1h'",
        );
    let folder = Folder::new();
    let file = folder.write("clients.toml", config.as_bytes());
    let service = process::Service::start(&["--config", &file, "--log", "off"]).await;
    service.ready().await;
    let address = service.address;
    let spin = |client: &'static str| -> Vec<_> {
        let path = move |n| format!("/v1/{client}/items?x=spin:{n}");
        (0..64)
            .map(|n| tokio::spawn(async move { get(address, &path(n)).await }))
            .collect()
    };

    let endless = spin("endless");
    service.waiting("endless", 64).await;
    let (livez, other, same) = failsafe("answers while guests spin", async {
        tokio::join!(
            get(address, "/livez"),
            get(address, "/v1/other/items?x=echo:a"),
            get(address, "/v1/endless/items?x=echo:a"),
        )
    })
    .await;
    assert_eq!(livez.status(), StatusCode::OK);
    for echo in [other, same] {
        assert_eq!(echo.body(), r#"[{"id":"a","body":"a"}]"#);
    }
    assert!(!endless.iter().any(JoinHandle::is_finished));
    endless.iter().for_each(JoinHandle::abort);
    service.waiting("endless", 0).await;

    let spinning = spin("spinning");
    let joined = get(address, "/v1/spinning/items?x=spin:0");
    let joined = failsafe("the answer of a joined flight", joined).await;
    assert_eq!(code(&joined), "guest-deadline");
    for answer in failsafe("all guests to be stopped", join_all(spinning)).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "guest-deadline");
    }
}

// fault 30
// Panic messages and error texts, which the guest does not print itself.
#[tokio::test]
async fn the_output_of_a_guest_is_escaped_in_the_log() {
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
