//! Limits, counts, locks and costs.

use std::future::ready as at_once;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use single_flight::{Error, Group, Policy};

use crate::harness::{
    Executor, Job, ManualFuture, counts, endless, error, group, never, output, ready,
};

fn limited(max_flights: usize, max_callers_per_flight: usize) -> Group<&'static str, u32> {
    Group::new(Policy {
        max_flights,
        max_callers_per_flight,
        ..Policy::default()
    })
}

// contract 19
#[test]
fn one_flight_past_the_limit_is_refused_at_once() {
    let (executor, group) = (Executor::new(), limited(2, 9));
    let (mut job, work) = Job::new();
    let mut one = ManualFuture::new(group.call("one", work));
    let mut two = ManualFuture::new(group.call("two", endless));
    assert!(executor.poll(&mut one).is_pending());
    assert!(executor.poll(&mut two).is_pending());
    let mut three = ManualFuture::new(group.call("three", never));
    assert_eq!(
        error(executor.poll(&mut three)),
        Error::TooManyFlights { limit: 2 }
    );
    assert_eq!(counts(&group), [2, 2, 2]);
    // Open flights can still be joined, and free their permit when they land.
    let mut follower = ManualFuture::new(group.call("one", never));
    assert!(executor.poll(&mut follower).is_pending());
    job.land(1);
    executor.run();
    assert_eq!(output(one.poll()).value, 1);
    let mut four = ManualFuture::new(group.call("four", endless));
    assert!(executor.poll(&mut four).is_pending());
    assert!(two.poll().is_pending());
    assert_eq!(counts(&group), [2, 2, 2]);
}

/// Records the number of flights alive when it is woken.
struct Counting {
    group: Group<&'static str, u32>,
    alive: OnceLock<usize>,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        let woken_before = self.alive.set(self.group.flights());
        woken_before.expect("a caller is woken once");
    }
}

// contract 19
#[test]
fn the_permit_of_a_flight_is_released_before_its_callers_are_woken() {
    let (executor, group) = (Executor::new(), group());
    let waker = Arc::new(Counting {
        group: group.clone(),
        alive: OnceLock::new(),
    });
    let mut call = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    let entered = executor.runtime.enter();
    assert!(
        call.poll_with(&Waker::from(Arc::clone(&waker)))
            .is_pending()
    );
    drop(entered);
    assert_eq!(group.flights(), 1);
    executor.run();
    assert_eq!(waker.alive.get(), Some(&0));
}

// contract 19
#[test]
fn superseded_and_stopping_flights_count_against_the_limit() {
    let (executor, group) = (Executor::new(), limited(1, 9));
    let (mut job, work) = Job::new();
    let mut superseded = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut superseded).is_pending());
    group.forget(&"k");
    let refused = Error::TooManyFlights { limit: 1 };
    let mut newcomer = ManualFuture::new(group.call("k", never));
    assert_eq!(error(executor.poll(&mut newcomer)), refused);
    job.land(1);
    executor.run();
    assert_eq!(output(superseded.poll()).value, 1);

    let mut stopping = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut stopping).is_pending());
    drop(stopping);
    let mut newcomer = ManualFuture::new(group.call("k", never));
    assert_eq!(error(executor.poll(&mut newcomer)), refused);
    executor.run();
    let mut newcomer = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut newcomer).is_pending());
}

// contract 13, 19
#[test]
fn one_caller_past_the_limit_is_refused_at_once() {
    let (executor, group) = (Executor::new(), limited(9, 2));
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    let mut refused = ManualFuture::new(group.call("k", never));
    assert_eq!(
        error(executor.poll(&mut refused)),
        Error::TooManyCallers { limit: 2 }
    );
    assert_eq!(counts(&group), [1, 2, 1]);
    // A caller that leaves frees its place.
    drop(leader);
    let mut newcomer = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut newcomer).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(follower.poll()).callers, 3);
    assert_eq!(output(newcomer.poll()).callers, 3);
}

// contract 19
#[test]
fn limits_of_zero_refuse_every_call() {
    let executor = Executor::new();
    let no_flights = limited(0, 9);
    let mut call = ManualFuture::new(no_flights.call("k", never));
    assert_eq!(
        error(executor.poll(&mut call)),
        Error::TooManyFlights { limit: 0 }
    );
    let no_callers = limited(9, 0);
    let mut call = ManualFuture::new(no_callers.call("k", never));
    assert_eq!(
        error(executor.poll(&mut call)),
        Error::TooManyCallers { limit: 0 }
    );
    assert_eq!(counts(&no_flights), [0, 0, 0]);
    assert_eq!(counts(&no_callers), [0, 0, 0]);
}

// contract 9, 13, 20
#[test]
fn ten_thousand_callers_share_one_execution() {
    const CALLERS: usize = if cfg!(miri) { 100 } else { 10_000 };
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    let mut followers: Vec<_> = (1..CALLERS)
        .map(|_| ManualFuture::new(group.call("k", never)))
        .collect();
    for follower in &mut followers {
        assert!(executor.poll(follower).is_pending());
    }
    assert_eq!(counts(&group), [1, CALLERS, 1]);
    followers.truncate(CALLERS / 2);
    assert_eq!(counts(&group), [1, CALLERS / 2 + 1, 1]);

    job.land(7);
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(output(leader.poll()).callers, CALLERS);
    for follower in &mut followers {
        assert_eq!(follower.wakes(), 1);
        assert_eq!(output(follower.poll()).callers, CALLERS);
    }
    assert_eq!(job.counts()[0], 1);
}

// contract 20
#[test]
fn keys_and_values_are_dropped_with_their_flight() {
    let executor = Executor::new();
    let key: Arc<str> = Arc::from("k");
    let value: Arc<str> = Arc::from("v");
    let group: Group<Arc<str>, Arc<str>> = Group::new(Policy::default());
    let work = |value: &Arc<str>| {
        let value = Arc::clone(value);
        move |_flight| async { value }
    };
    let mut leader = ManualFuture::new(group.call(Arc::clone(&key), work(&value)));
    let mut follower = ManualFuture::new(group.call(Arc::clone(&key), work(&value)));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    // The follower's key and work are gone once it has joined.
    assert_eq!((Arc::strong_count(&key), Arc::strong_count(&value)), (2, 2));
    group.forget(&key);
    executor.run();
    assert!(leader.poll().is_ready() && follower.poll().is_ready());
    drop((leader, follower));
    assert_eq!((Arc::strong_count(&key), Arc::strong_count(&value)), (1, 1));
}

/// User code that uses the group: as part of a key when it is dropped, as a value when it is cloned and
/// dropped, as a waker when it is woken and dropped.
struct Reentrant {
    /// Weak, because the group's observer holds one as well.
    group: Weak<OnceLock<Group<ReentrantKey, Reentrant>>>,
    uses: Arc<AtomicUsize>,
}

impl Reentrant {
    fn another(&self) -> Self {
        Self {
            group: Weak::clone(&self.group),
            uses: Arc::clone(&self.uses),
        }
    }

    fn use_group(&self) {
        let Some(group) = self.group.upgrade() else {
            // The group is being dropped.
            return;
        };
        let group = group.get().expect("the group is made before it is used");
        let name = KeyName("none");
        // Takes every lock: of each shard, of each flight and of the detached flights.
        group.callers();
        group.forget(&ReentrantKey {
            name,
            _reentrant: None,
        });
        self.uses.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for Reentrant {
    fn clone(&self) -> Self {
        self.use_group();
        self.another()
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.use_group();
    }
}

#[derive(PartialEq, Eq, Hash)]
struct KeyName(&'static str);

/// Equal and hashed by its name.
struct ReentrantKey {
    name: KeyName,
    _reentrant: Option<Reentrant>,
}

impl PartialEq for ReentrantKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ReentrantKey {}

impl Hash for ReentrantKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.use_group();
    }
}

// contract 21: if a lock were held across any of these, the same thread would take it again and hang.
#[test]
fn user_code_may_use_the_group_in_every_callback() {
    let executor = Executor::new();
    let uses = Arc::new(AtomicUsize::new(0));
    let made = Arc::new(OnceLock::new());
    let reentrant = Reentrant {
        group: Arc::downgrade(&made),
        uses: Arc::clone(&uses),
    };
    let observer = reentrant.another();
    let group = Group::with_observer(Policy::default(), Instant::now, move |_, _| {
        observer.use_group()
    });
    made.set(group.clone()).ok().unwrap();
    let call = |name| {
        let key = ReentrantKey {
            name: KeyName(name),
            _reentrant: Some(reentrant.another()),
        };
        let value = reentrant.another();
        ManualFuture::new(group.call(key, move |_flight| async move {
            value.use_group();
            tokio::task::yield_now().await;
            value
        }))
    };
    let waker = || Waker::from(Arc::new(reentrant.another()));

    // Open, join, poll again with another waker, land, take the outcome.
    let (mut leader, mut follower) = (call("lands"), call("lands"));
    let entered = executor.runtime.enter();
    for call in [&mut leader, &mut follower] {
        assert!(call.poll_with(&waker()).is_pending());
        assert!(call.poll_with(&waker()).is_pending());
    }
    drop(entered);
    executor.run();
    assert!(leader.poll().is_ready() && follower.poll().is_ready());
    drop((leader, follower));

    // Forget, leave, cancel; and cancel by a drain.
    let entered = executor.runtime.enter();
    let (mut forgotten, mut left, mut drained) = (call("forgotten"), call("left"), call("drained"));
    for call in [&mut forgotten, &mut left, &mut drained] {
        assert!(call.poll_with(&waker()).is_pending());
    }
    drop(entered);
    let forgotten_name = KeyName("forgotten");
    group.forget(&ReentrantKey {
        name: forgotten_name,
        _reentrant: None,
    });
    drop((forgotten, left));
    assert_eq!(ready(ManualFuture::new(group.drain(at_once(()))).poll()), 1);
    assert!(drained.poll().is_ready());
    drop(drained);
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);

    // Drops: 5 keys, 5 values, 2 clones of a value, 7 wakers.
    let dropped = 5 + 5 + 2 + 7;
    let (cloned, woken, ran, observed) = (2, 3, 1, 4);
    let expected = dropped + cloned + woken + ran + observed;
    assert_eq!(uses.load(Ordering::Relaxed), expected);
}

/// A key that counts hashing and comparing.
#[derive(Clone)]
struct Counted {
    key: usize,
    effort: Arc<[AtomicUsize; 2]>,
}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.effort[0].fetch_add(1, Ordering::Relaxed);
        self.key.hash(state);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.effort[1].fetch_add(1, Ordering::Relaxed);
        self.key == other.key
    }
}

impl Eq for Counted {}

// contract 22: a join hashes once and compares once, whatever the number of callers on the flight and of
// flights in the table. The benchmark counts its instructions.
#[test]
fn joining_hashes_once_and_compares_once() {
    const MANY: usize = if cfg!(miri) { 20 } else { 1_000 };
    let executor = Executor::new();
    let group: Group<Counted, u32> = Group::new(Policy {
        max_flights: 2 * MANY,
        ..Policy::default()
    });
    let effort: Arc<[AtomicUsize; 2]> = Arc::default();
    let call = |key| {
        let effort = Arc::clone(&effort);
        ManualFuture::new(group.call(Counted { key, effort }, endless))
    };
    let spent = || [0, 1].map(|kind: usize| effort[kind].swap(0, Ordering::Relaxed));
    let mut calls: Vec<_> = (0..MANY).map(call).collect();
    for call in &mut calls {
        assert!(executor.poll(call).is_pending());
    }
    assert_eq!(spent(), [MANY, 0]);
    for _ in 0..MANY {
        let mut follower = call(7);
        assert!(executor.poll(&mut follower).is_pending());
        calls.push(follower);
        assert_eq!(spent(), [1, 1]);
    }
    drop(calls);
    executor.run();
    assert_eq!(spent(), [0, 0]);
}
