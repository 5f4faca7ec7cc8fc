//! Bounds refuse what is past them at once, and hurt nothing that is under way.

use std::pin::pin;

use futures_util::poll;
use oneflight::client::{Answer, Generation, Resource};
use oneflight::{Client, ClientError, Items, Key, Limits, Settings, decorate};
use oneflight_tests::upstream::{self, Upstream};
use oneflight_tests::{Subject, failsafe, reaching};

/// A misbehaving guest that holds one request per flight open at `upstream`.
async fn holding(upstream: &Upstream, limits: Limits) -> Subject {
    Subject::misbehaving(Settings {
        limits,
        ..reaching(upstream)
    })
    .await
}

// Row 18.
#[tokio::test]
async fn a_caller_past_the_cap_of_its_key_is_refused_and_the_others_are_served() {
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let subject = holding(
        &upstream,
        Limits {
            callers: 2,
            ..Limits::default()
        },
    )
    .await;
    let key = || Key::from(format!("need:{}", upstream.origin()));
    let (mut first, mut second) = (
        pin!(subject.client.get_items(key())),
        pin!(subject.client.get_items(key())),
    );
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second.as_mut()).is_pending());
    let refused = subject.client.get_items(key()).await.result.unwrap_err();
    assert_eq!(refused, ClientError::Overloaded(Resource::Callers));
    upstream.requested(1).await;
    upstream.release();
    assert!(failsafe("the first caller", first).await.result.is_ok());
    assert!(failsafe("the second caller", second).await.result.is_ok());
    subject.settled().await;
}

// Row 19.
#[tokio::test]
async fn a_flight_past_the_cap_is_refused_and_none_is_evicted() {
    let upstream = Upstream::start(upstream::Answer::Held).await;
    let subject = holding(
        &upstream,
        Limits {
            flights: 2,
            ..Limits::default()
        },
    )
    .await;
    let key = |n: u32| Key::from(format!("need:{}/{n}", upstream.origin()));
    let (mut first, mut second) = (
        pin!(subject.client.get_items(key(1))),
        pin!(subject.client.get_items(key(2))),
    );
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second.as_mut()).is_pending());
    upstream.requested(2).await;
    let refused = subject.client.get_items(key(3)).await.result.unwrap_err();
    assert_eq!(refused, ClientError::Overloaded(Resource::Flights));
    // What is open may still be joined.
    let mut joined = pin!(subject.client.get_items(key(1)));
    assert!(poll!(joined.as_mut()).is_pending());
    upstream.release();
    assert!(failsafe("the first flight", first).await.result.is_ok());
    assert!(failsafe("the second flight", second).await.result.is_ok());
    assert!(failsafe("the joiner", joined).await.result.is_ok());
    assert_eq!(upstream.requests(), 2);
    subject.settled().await;
    assert!(subject.client.get_items(key(3)).await.result.is_ok());
}

/// A client of the host's own that panics for one key.
struct Panicking(Generation);

impl Client for Panicking {
    fn generation(&self) -> Generation {
        self.0
    }

    async fn get_items(&self, key: Key) -> Answer {
        assert_ne!(key.as_str(), "panic");
        Items::new(vec![]).map_err(|_| ClientError::Internal).into()
    }
}

// Row 12.
#[tokio::test]
async fn a_panic_in_the_host_is_told_to_its_callers_and_hurts_no_other() {
    let client = decorate(Panicking(Generation::next()), &Settings::new("test"));
    let panicked = client.get_items("panic".into()).await.result.unwrap_err();
    assert_eq!(panicked.code(), "internal");
    assert!(client.get_items("other".into()).await.result.is_ok());
    assert_eq!(client.next().flights(), 0);
}
