//! A limit refuses what exceeds it at once, and affects no open flight.

use std::pin::pin;
use std::sync::Arc;

use futures_util::poll;
use oneflight::model::{Generation, Resource};
use oneflight::upstream::UpstreamPolicy;
use oneflight::{
    Call, Client, ClientError, ClientMetrics, Engine, Execute, FlightContext, Items, Limits,
    Outcome, Settings, Stack,
};
use oneflight_tests::names::{Lookup, Script};
use oneflight_tests::upstream::{self, Upstream};
use oneflight_tests::{
    LIMIT, Subject, artifacts, failsafe, fast_forward, patient, reaching, settings, tasks,
};
use tokio::time::Instant;

/// A misbehaving guest that holds one request per flight open at `upstream`.
async fn holding(upstream: &Upstream, limits: Limits) -> Subject {
    Subject::misbehaving(Settings {
        limits,
        ..reaching(upstream)
    })
    .await
}

// fault 18
#[tokio::test]
async fn a_caller_past_the_cap_of_its_key_is_refused_and_the_others_are_served() {
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let subject = holding(
        &upstream,
        Limits {
            max_callers: 2,
            ..patient()
        },
    )
    .await;
    let key = || Call::from(format!("need:{}", upstream.origin()));
    let (mut first, mut second) = (
        pin!(subject.client.call(key().into())),
        pin!(subject.client.call(key().into())),
    );
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second.as_mut()).is_pending());
    let refused = subject.client.call(key().into()).await.result.unwrap_err();
    assert_eq!(refused, ClientError::Overloaded(Resource::Callers));
    upstream.requested(1).await;
    upstream.release();
    assert!(failsafe("the first caller", first).await.result.is_ok());
    assert!(failsafe("the second caller", second).await.result.is_ok());
    subject.settled().await;
}

// fault 19
#[tokio::test]
async fn a_flight_past_the_cap_is_refused_and_none_is_evicted() {
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let subject = holding(
        &upstream,
        Limits {
            max_flights: 2,
            ..patient()
        },
    )
    .await;
    let key = |n: u32| Call::from(format!("need:{}/{n}", upstream.origin()));
    let (mut first, mut second) = (
        pin!(subject.client.call(key(1).into())),
        pin!(subject.client.call(key(2).into())),
    );
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second.as_mut()).is_pending());
    upstream.requested(2).await;
    let refused = subject.client.call(key(3).into()).await.result.unwrap_err();
    assert_eq!(refused, ClientError::Overloaded(Resource::Flights));
    // Open flights can still be joined.
    let mut joined = pin!(subject.client.call(key(1).into()));
    assert!(poll!(joined.as_mut()).is_pending());
    upstream.release();
    assert!(failsafe("the first flight", first).await.result.is_ok());
    assert!(failsafe("the second flight", second).await.result.is_ok());
    assert!(failsafe("the joiner", joined).await.result.is_ok());
    assert_eq!(upstream.requests(), 2);
    subject.settled().await;
    assert!(subject.client.call(key(3).into()).await.result.is_ok());
}

// fault 20
#[tokio::test]
async fn a_flight_without_a_permit_is_refused_at_the_queue_timeout() {
    let before = tasks();
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let limits = Limits {
        max_executions: 2,
        queue_timeout: LIMIT,
        ..patient()
    };
    let subject = holding(&upstream, limits).await;
    let key = |n: u32| Call::from(format!("need:{}/{n}", upstream.origin()));
    let open_flights = [1, 2].map(|n| {
        let (client, key) = (subject.client.clone(), key(n));
        tokio::spawn(async move { client.call(key.into()).await })
    });
    upstream.requested(2).await;
    let began = Instant::now();
    let third = || subject.client.call(key(3).into());
    let (one, other) = fast_forward(async { tokio::join!(third(), third()) }).await;
    for refused in [one, other] {
        let refused = refused.result.unwrap_err();
        assert_eq!(refused, ClientError::Overloaded(Resource::Executions));
    }
    assert!(began.elapsed() >= LIMIT, "{:?}", began.elapsed());
    assert_eq!((upstream.requests(), subject.engine.instances()), (2, 2));
    // A waiting flight runs as soon as another ends.
    let waiting = tokio::spawn({
        let (client, key) = (subject.client.clone(), key(4));
        async move { client.call(key.into()).await }
    });
    upstream.release();
    for answer in open_flights.into_iter().chain([waiting]) {
        let answer = failsafe("an answer", answer).await.unwrap();
        assert_eq!(answer.result.err(), None);
    }
    assert_eq!(upstream.requests(), 3);
    drop(upstream);
    subject.gone(before).await;
}

// fault 38
#[tokio::test]
async fn a_client_whose_upstream_hangs_under_load_takes_nothing_from_another() {
    let before = tasks();
    let (hanging, healthy) = (
        Upstream::start(upstream::Answer::Held).await,
        Upstream::start(upstream::Answer::Items).await,
    );
    let binary = std::fs::read(artifacts::MISBEHAVING).unwrap();
    let of = |executions, flights| Limits {
        max_executions: executions,
        max_flights: flights,
        queue_timeout: LIMIT,
        ..patient()
    };
    let engine = Engine::new(&of(4, 0)).unwrap();
    let on = async |upstream, limits| {
        let settings = Settings {
            limits,
            ..reaching(upstream)
        };
        Subject::on(&engine, &binary, settings).await
    };
    let (stalled, other) = (on(&hanging, of(2, 6)).await, on(&healthy, of(2, 6)).await);
    let asking = |n: u32| {
        let (client, origin) = (stalled.client.clone(), hanging.origin());
        tokio::spawn(async move { client.call(format!("need:{origin}/{n}").into()).await })
    };
    // Two hold the permits, four wait for one, and six exceed the limit on flights.
    let open_flights = [1, 2].map(asking);
    hanging.requested(2).await;
    let past: Vec<_> = (3..=12).map(asking).collect();
    for n in 1..=10 {
        let answer = other.ask(format!("need:{}/{n}", healthy.origin())).await;
        assert_eq!(answer.err(), None);
    }
    let mut refused = Vec::new();
    fast_forward(async {
        for past in past {
            let answer = failsafe("a caller to be refused", past).await.unwrap();
            refused.push(answer.result.unwrap_err());
        }
    })
    .await;
    let of_kind = |resource| {
        let wanted = ClientError::Overloaded(resource);
        refused.iter().filter(|error| **error == wanted).count()
    };
    assert_eq!(
        (of_kind(Resource::Executions), of_kind(Resource::Flights)),
        (4, 6)
    );
    assert_eq!((hanging.requests(), healthy.requests()), (2, 10));
    hanging.release();
    for flight in open_flights {
        let answer = failsafe("an answer", flight).await.unwrap();
        assert_eq!(answer.result.err(), None);
    }
    drop((other, healthy, hanging));
    stalled.gone(before).await;
}

// fault 38
#[tokio::test]
async fn flights_whose_upstream_hangs_end_at_the_request_timeout_and_free_their_permits() {
    let before = tasks();
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let limits = Limits {
        max_executions: 2,
        request_timeout: LIMIT,
        ..patient()
    };
    let subject = holding(&upstream, limits).await;
    let asking = |n: u32| {
        let (client, origin) = (subject.client.clone(), upstream.origin());
        tokio::spawn(async move { client.call(format!("need:{origin}/{n}").into()).await })
    };
    let began = Instant::now();
    let hung = [1, 2].map(asking);
    upstream.requested(2).await;
    let mut waiting = asking(3);
    assert!(poll!(&mut waiting).is_pending());
    fast_forward(async {
        for flight in hung {
            let answer = failsafe("a hung flight to end", flight).await.unwrap();
            assert_eq!(answer.result.unwrap_err().code(), "upstream-timeout");
        }
    })
    .await;
    assert!(began.elapsed() >= LIMIT, "{:?}", began.elapsed());
    upstream.abandoned(2).await;
    upstream.requested(3).await;
    upstream.release();
    let answer = failsafe("an answer", waiting).await.unwrap();
    assert_eq!(answer.result.err(), None);
    drop(upstream);
    subject.gone(before).await;
}

/// A client in host code that panics for one key.
struct Panicking(Generation);

impl Execute for Panicking {
    fn generation(&self) -> Generation {
        self.0
    }

    async fn execute(&self, call: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
        assert_ne!(call.x(), Some("panic"));
        let items = Items::new(vec![]).map_err(|_| ClientError::Internal)?;
        Ok(items.into())
    }
}

// fault 12
#[tokio::test]
async fn a_panic_in_the_host_reaches_the_callers_of_its_flight_alone() {
    let panicking = Panicking(Generation::next());
    let client = Stack::new(panicking, &settings(), ClientMetrics::default());
    let panicked = client.call("panic".into()).await.result.unwrap_err();
    assert_eq!(panicked.code(), "internal");
    assert!(client.call("other".into()).await.result.is_ok());
    assert_eq!(client.control().flights(), 0);
}

// fault 12
// The panic is in a name lookup for a guest's request.
#[tokio::test]
async fn a_panic_in_the_host_under_a_guest_hurts_no_other_flight() {
    let before = tasks();
    let names = [Lookup::Panics, Lookup::of(&["127.0.0.1"])];
    let upstream = Upstream::start(upstream::Answer::Items).await;
    let origin = format!("http://named.example:{}", upstream.address().port());
    let policy = UpstreamPolicy {
        allow: vec![origin.parse().unwrap()],
        nets: vec!["127.0.0.1/32".parse().unwrap()],
        resolver: Arc::new(Script::new(names)),
        ..UpstreamPolicy::default()
    };
    let subject = Subject::misbehaving(Settings {
        policy,
        ..settings()
    })
    .await;
    let key = |n: u32| format!("need:{origin}/{n}");
    assert_eq!(subject.ask(key(1)).await, Err("internal"));
    subject.settled().await;
    subject.connected(0).await;
    assert_eq!(subject.ask(key(2)).await.err(), None);
    drop(upstream);
    subject.gone(before).await;
}
