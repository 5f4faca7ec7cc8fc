//! Which calls share a flight, and what each caller gets.

use std::pin::pin;

use futures_util::future::join_all;
use futures_util::poll;
use oneflight::model::Role;
use oneflight::{Call, Client, ClientMetrics, ComponentClient, Stack, Unshared};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, failsafe, reaching};

/// The built-in client in front of `upstream`.
async fn builtin(upstream: &Upstream) -> Subject {
    Subject::builtin(&format!("{}/items", upstream.origin()), reaching(upstream)).await
}

/// One of the places in a service that fetch the same items.
async fn fetcher(client: Stack<ComponentClient>, key: &'static str) -> usize {
    client
        .call(key.into())
        .await
        .result
        .unwrap()
        .items()
        .unwrap()
        .as_slice()
        .len()
}

#[tokio::test]
async fn two_fetchers_that_share_a_decorated_client_make_one_upstream_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let client = builtin(&upstream).await.client;
    let invoices = tokio::spawn(fetcher(client.clone(), "42"));
    let shipping = tokio::spawn(fetcher(client.clone(), "42"));
    upstream.requested(1).await;
    upstream.release();
    assert_eq!((invoices.await.unwrap(), shipping.await.unwrap()), (2, 2));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn two_fetchers_that_each_decorate_it_make_two_upstream_requests() {
    let upstream = Upstream::start(Answer::Held).await;
    let component = builtin(&upstream).await.component;
    let decorated = || {
        Stack::new(
            component.clone(),
            component.settings(),
            ClientMetrics::default(),
        )
    };
    let invoices = tokio::spawn(fetcher(decorated(), "42"));
    let shipping = tokio::spawn(fetcher(decorated(), "42"));
    upstream.requested(2).await;
    upstream.release();
    assert_eq!((invoices.await.unwrap(), shipping.await.unwrap()), (2, 2));
    assert_eq!(upstream.requests(), 2);
}

// fault 1
#[tokio::test]
async fn n_callers_of_one_key_share_one_answer_in_memory() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    let callers = tokio::spawn({
        let client = subject.client.clone();
        async move { join_all((0..100).map(|_| client.call("42".into()))).await }
    });
    upstream.requested(1).await;
    upstream.release();
    let answers = failsafe("the answers", callers).await.unwrap();
    let first = answers[0].result.as_ref().unwrap();
    assert_eq!(first.json(), ITEMS_JSON);
    assert!(
        answers
            .iter()
            .all(|answer| answer.result.as_ref().unwrap().is_same(first))
    );
    let infos: Vec<_> = answers
        .iter()
        .map(|answer| answer.flight.unwrap())
        .collect();
    assert_eq!(
        infos
            .iter()
            .filter(|info| info.role == Role::Leader)
            .count(),
        1
    );
    assert!(
        infos
            .iter()
            .all(|info| info.callers == 100 && info.flight == infos[0].flight)
    );
    assert_eq!(
        (upstream.requests(), subject.component.usage().guest_calls),
        (1, 1)
    );
    subject.settled().await;
}

// fault 2
#[tokio::test]
async fn two_clients_never_share_a_flight_of_one_key() {
    let (ours, theirs) = (
        Upstream::start(Answer::Held).await,
        Upstream::start(Answer::Held).await,
    );
    let (our, their) = (builtin(&ours).await, builtin(&theirs).await);
    let both = tokio::spawn({
        let (our, their) = (our.client.clone(), their.client.clone());
        async move { tokio::join!(our.call("42".into()), their.call("42".into())) }
    });
    ours.requested(1).await;
    theirs.requested(1).await;
    ours.release();
    theirs.release();
    let (our_answer, their_answer) = failsafe("both answers", both).await.unwrap();
    assert_ne!(
        our_answer.flight.unwrap().flight,
        their_answer.flight.unwrap().flight
    );
    assert_ne!(our.client.generation(), their.client.generation());
    assert_eq!((ours.requests(), theirs.requests()), (1, 1));
}

#[tokio::test]
async fn distinct_keys_are_distinct_flights() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = builtin(&upstream).await;
    let keys = ["1", "2", "1 ", "a/b", "a%2Fb"];
    let answers = join_all(keys.map(|key| subject.ask(key))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_deref() == Ok(ITEMS_JSON)),
        "{answers:?}"
    );
    let mut paths: Vec<_> = upstream
        .heads()
        .iter()
        .map(|head| head.lines().next().unwrap().to_owned())
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        ["1", "1%20", "2", "a%252Fb", "a%2Fb"].map(|x| format!("GET /items?x={x} HTTP/1.1"))
    );
}

// fault 3
#[tokio::test]
async fn an_error_is_shared_and_not_kept() {
    let upstream = Upstream::start(Answer::Status(503, "")).await;
    let subject = builtin(&upstream).await;
    let answers = join_all((0..3).map(|_| subject.ask("42"))).await;
    assert_eq!(answers, [const { Err("upstream-status") }; 3]);
    assert_eq!(upstream.requests(), 1);
    assert_eq!(subject.ask("42").await, Err("upstream-status"));
    assert_eq!(upstream.requests(), 2);
    subject.settled().await;
}

// fault 13
#[tokio::test]
async fn the_leader_may_leave_and_the_others_are_served_by_its_flight() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    let mut follower = pin!(subject.client.call("42".into()));
    {
        let mut leader = pin!(subject.client.call("42".into()));
        assert!(poll!(leader.as_mut()).is_pending());
        assert!(poll!(follower.as_mut()).is_pending());
        upstream.requested(1).await;
    }
    upstream.release();
    let answer = failsafe("the follower's answer", follower).await;
    assert_eq!(answer.result.unwrap().json(), ITEMS_JSON);
    assert_eq!(answer.flight.unwrap().role, Role::Follower);
    assert_eq!(
        (upstream.requests(), subject.component.usage().guest_calls),
        (1, 1)
    );
    subject.settled().await;
}

// fault 14
#[tokio::test]
async fn when_the_last_caller_leaves_the_upstream_sees_its_connection_closed() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    {
        let mut first = pin!(subject.client.call("42".into()));
        let mut second = pin!(subject.client.call("42".into()));
        assert!(poll!(first.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        upstream.requested(1).await;
    }
    upstream.abandoned(1).await;
    subject.settled().await;
}

#[tokio::test]
async fn cancel_safety_of_an_undecorated_component() {
    let upstream = Upstream::start(Answer::Held).await;
    let component = builtin(&upstream).await.component;
    let client = Unshared::new(component.clone());
    {
        let mut call = pin!(client.call("42".into()));
        // Polled until the request is sent: without a flight's task only this future drives the guest, which
        // yields at each tick.
        tokio::select! {
            answer = call.as_mut() => panic!("the upstream still holds it: {answer:?}"),
            () = upstream.requested(1) => {}
        }
        assert_eq!(component.usage().running, 1);
    }
    assert_eq!(component.usage().running, 0);
    upstream.abandoned(1).await;
    upstream.release();
    assert!(client.call("42".into()).await.result.is_ok());
}

#[tokio::test]
async fn cancel_safety_of_a_drain() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    let mut flight = pin!(subject.client.call("42".into()));
    assert!(poll!(flight.as_mut()).is_pending());
    {
        let mut drain = pin!(subject.client.control().drain(std::future::pending()));
        assert!(poll!(drain.as_mut()).is_pending());
    }
    assert_eq!(subject.ask("other").await, Err("cancelled"));
    upstream.requested(1).await;
    upstream.release();
    assert!(failsafe("the flight to land", flight).await.result.is_ok());
}

#[tokio::test]
async fn a_drain_cancels_at_its_deadline_what_has_not_landed() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    let mut flight = pin!(subject.client.call("42".into()));
    assert!(poll!(flight.as_mut()).is_pending());
    upstream.requested(1).await;
    subject.client.control().drain(std::future::ready(())).await;
    let cancelled = failsafe("the flight to be cancelled", flight).await;
    assert_eq!(cancelled.result.unwrap_err().code(), "cancelled");
    upstream.abandoned(1).await;
    subject.settled().await;
}

// fault 15
#[tokio::test]
async fn a_newcomer_while_a_flight_is_cancelled_has_a_flight_of_its_own() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    {
        let mut last = pin!(subject.client.call("42".into()));
        assert!(poll!(last.as_mut()).is_pending());
        upstream.requested(1).await;
    }
    // This thread has run no task since: the cancelled flight's task is not dropped yet.
    assert_eq!(subject.component.usage().running, 1);
    let mut newcomer = pin!(subject.client.call("42".into()));
    assert!(poll!(newcomer.as_mut()).is_pending());
    upstream.requested(2).await;
    upstream.release();
    let answer = failsafe("the newcomer's answer", newcomer).await;
    assert_eq!(answer.result.unwrap().json(), ITEMS_JSON);
    assert_eq!(answer.flight.unwrap().role, Role::Leader);
    subject.settled().await;
}

// fault 16
#[tokio::test]
async fn a_callers_deadline_is_its_own() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = builtin(&upstream).await;
    let key = || Call::from("42");
    let mut patient = pin!(subject.client.call(key().into()));
    assert!(poll!(patient.as_mut()).is_pending());
    upstream.requested(1).await;
    let impatient = tokio::time::timeout_at(
        tokio::time::Instant::now(),
        subject.client.call(key().into()),
    );
    assert!(impatient.await.is_err());
    upstream.release();
    let answer = failsafe("the patient caller's answer", patient).await;
    assert_eq!(answer.result.unwrap().json(), ITEMS_JSON);
    assert_eq!(upstream.requests(), 1);
    subject.settled().await;
}
