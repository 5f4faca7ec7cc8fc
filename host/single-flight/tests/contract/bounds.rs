//! Policy, counts, locks and draining: points 19 to 21 and 23.

use std::future::{pending, ready as at_once};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};

use std::time::Instant;

use single_flight::{Error, Group, Policy};

use crate::hands::{Hand, Job, Stage, answer, counts, endless, error, group, never, ready};

fn limited(max_flights: usize, max_callers_per_flight: usize) -> Group<&'static str, u32> {
    Group::new(Policy {
        max_flights,
        max_callers_per_flight,
        ..Policy::default()
    })
}

// 19
#[test]
fn one_flight_past_the_limit_is_refused_at_once() {
    let (stage, group) = (Stage::new(), limited(2, 9));
    let (mut job, work) = Job::new();
    let mut one = Hand::new(group.call("one", work));
    let mut two = Hand::new(group.call("two", endless));
    assert!(stage.poll(&mut one).is_pending());
    assert!(stage.poll(&mut two).is_pending());
    let mut three = Hand::new(group.call("three", never));
    assert_eq!(
        error(stage.poll(&mut three)),
        Error::TooManyFlights { limit: 2 }
    );
    assert_eq!(counts(&group), [2, 2, 2]);
    // Those under way can still be joined, and make room when they land.
    let mut follower = Hand::new(group.call("one", never));
    assert!(stage.poll(&mut follower).is_pending());
    job.land(1);
    stage.run();
    assert_eq!(answer(one.poll()).value, 1);
    let mut four = Hand::new(group.call("four", endless));
    assert!(stage.poll(&mut four).is_pending());
    assert!(two.poll().is_pending());
    assert_eq!(counts(&group), [2, 2, 2]);
}

/// Notes the number of flights alive when it is woken.
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

// 19
#[test]
fn a_caller_that_learns_its_outcome_finds_the_room_of_its_flight_given_back() {
    let (stage, group) = (Stage::new(), group());
    let waker = Arc::new(Counting {
        group: group.clone(),
        alive: OnceLock::new(),
    });
    let mut call = Hand::new(group.call("k", |_flight| async { 7 }));
    let entered = stage.runtime.enter();
    assert!(
        call.poll_with(&Waker::from(Arc::clone(&waker)))
            .is_pending()
    );
    drop(entered);
    assert_eq!(group.flights(), 1);
    stage.run();
    assert_eq!(waker.alive.get(), Some(&0));
}

// 19
#[test]
fn superseded_and_stopping_flights_count_against_the_limit() {
    let (stage, group) = (Stage::new(), limited(1, 9));
    let (mut job, work) = Job::new();
    let mut superseded = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut superseded).is_pending());
    group.forget(&"k");
    let refused = Error::TooManyFlights { limit: 1 };
    let mut newcomer = Hand::new(group.call("k", never));
    assert_eq!(error(stage.poll(&mut newcomer)), refused);
    job.land(1);
    stage.run();
    assert_eq!(answer(superseded.poll()).value, 1);

    let mut stopping = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut stopping).is_pending());
    drop(stopping);
    let mut newcomer = Hand::new(group.call("k", never));
    assert_eq!(error(stage.poll(&mut newcomer)), refused);
    stage.run();
    let mut newcomer = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut newcomer).is_pending());
}

// 13, 19
#[test]
fn one_caller_past_the_limit_is_refused_at_once() {
    let (stage, group) = (Stage::new(), limited(9, 2));
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    let mut refused = Hand::new(group.call("k", never));
    assert_eq!(
        error(stage.poll(&mut refused)),
        Error::TooManyCallers { limit: 2 }
    );
    assert_eq!(counts(&group), [1, 2, 1]);
    // One that leaves makes room.
    drop(leader);
    let mut newcomer = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut newcomer).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(follower.poll()).callers, 3);
    assert_eq!(answer(newcomer.poll()).callers, 3);
}

// 19
#[test]
fn limits_of_zero_refuse_everything() {
    let stage = Stage::new();
    let no_flights = limited(0, 9);
    let mut call = Hand::new(no_flights.call("k", never));
    assert_eq!(
        error(stage.poll(&mut call)),
        Error::TooManyFlights { limit: 0 }
    );
    let no_callers = limited(9, 0);
    let mut call = Hand::new(no_callers.call("k", never));
    assert_eq!(
        error(stage.poll(&mut call)),
        Error::TooManyCallers { limit: 0 }
    );
    assert_eq!(counts(&no_flights), [0, 0, 0]);
    assert_eq!(counts(&no_callers), [0, 0, 0]);
}

// 9, 13, 20
#[test]
fn ten_thousand_callers_share_one_execution() {
    const CALLERS: usize = if cfg!(miri) { 100 } else { 10_000 };
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    let mut followers: Vec<_> = (1..CALLERS)
        .map(|_| Hand::new(group.call("k", never)))
        .collect();
    for follower in &mut followers {
        assert!(stage.poll(follower).is_pending());
    }
    assert_eq!(counts(&group), [1, CALLERS, 1]);
    followers.truncate(CALLERS / 2);
    assert_eq!(counts(&group), [1, CALLERS / 2 + 1, 1]);

    job.land(7);
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(answer(leader.poll()).callers, CALLERS);
    for follower in &mut followers {
        assert_eq!(follower.wakes(), 1);
        assert_eq!(answer(follower.poll()).callers, CALLERS);
    }
    assert_eq!(job.seen()[0], 1);
}

// 20
#[test]
fn no_memory_of_a_key_is_kept() {
    let stage = Stage::new();
    let key: Arc<str> = Arc::from("k");
    let value: Arc<str> = Arc::from("v");
    let group: Group<Arc<str>, Arc<str>> = Group::new(Policy::default());
    let work = |value: &Arc<str>| {
        let value = Arc::clone(value);
        move |_flight| async { value }
    };
    let mut leader = Hand::new(group.call(Arc::clone(&key), work(&value)));
    let mut follower = Hand::new(group.call(Arc::clone(&key), work(&value)));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    // The follower's key and work are gone once it has joined.
    assert_eq!((Arc::strong_count(&key), Arc::strong_count(&value)), (2, 2));
    group.forget(&key);
    stage.run();
    assert!(leader.poll().is_ready() && follower.poll().is_ready());
    drop((leader, follower));
    assert_eq!((Arc::strong_count(&key), Arc::strong_count(&value)), (1, 1));
}

/// User code that uses the group wherever it runs: as a part of a key when it is dropped, as a value
/// when it is cloned and dropped, as a waker when it is woken and dropped.
struct Busy {
    /// Weak, because the group's observer is one as well.
    group: Weak<OnceLock<Group<BusyKey, Busy>>>,
    uses: Arc<AtomicUsize>,
}

impl Busy {
    fn another(&self) -> Self {
        Self {
            group: Weak::clone(&self.group),
            uses: Arc::clone(&self.uses),
        }
    }

    fn use_group(&self) {
        let Some(group) = self.group.upgrade() else {
            // The group itself is being dropped.
            return;
        };
        let group = group.get().expect("the group is made before it is used");
        let name = BusyName("none");
        // Takes every lock there is: that of each shard, of each flight, of the superseded flights.
        group.callers();
        group.forget(&BusyKey { name, _busy: None });
        self.uses.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        self.use_group();
        self.another()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.use_group();
    }
}

#[derive(PartialEq, Eq, Hash)]
struct BusyName(&'static str);

/// The name is the key. What comes with it is only held to be dropped.
struct BusyKey {
    name: BusyName,
    _busy: Option<Busy>,
}

impl PartialEq for BusyKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for BusyKey {}

impl Hash for BusyKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        self.use_group();
    }
}

// 21: a lock held across any of these would be taken again by the same thread, which would hang.
#[test]
fn user_code_may_use_the_group_wherever_it_runs() {
    let stage = Stage::new();
    let uses = Arc::new(AtomicUsize::new(0));
    let made = Arc::new(OnceLock::new());
    let busy = Busy {
        group: Arc::downgrade(&made),
        uses: Arc::clone(&uses),
    };
    let observer = busy.another();
    let group = Group::with_observer(Policy::default(), Instant::now, move |_, _| {
        observer.use_group()
    });
    made.set(group.clone()).ok().unwrap();
    let call = |name| {
        let key = BusyKey {
            name: BusyName(name),
            _busy: Some(busy.another()),
        };
        let value = busy.another();
        Hand::new(group.call(key, move |_flight| async move {
            value.use_group();
            tokio::task::yield_now().await;
            value
        }))
    };
    let waker = || Waker::from(Arc::new(busy.another()));

    // Opened, joined, polled again with another waker, landed, fetched.
    let (mut leader, mut follower) = (call("lands"), call("lands"));
    let entered = stage.runtime.enter();
    for call in [&mut leader, &mut follower] {
        assert!(call.poll_with(&waker()).is_pending());
        assert!(call.poll_with(&waker()).is_pending());
    }
    drop(entered);
    stage.run();
    assert!(leader.poll().is_ready() && follower.poll().is_ready());
    drop((leader, follower));

    // Forgotten, left, cancelled; and cancelled by a drain.
    let entered = stage.runtime.enter();
    let (mut forgotten, mut left, mut drained) = (call("forgotten"), call("left"), call("drained"));
    for call in [&mut forgotten, &mut left, &mut drained] {
        assert!(call.poll_with(&waker()).is_pending());
    }
    drop(entered);
    let forgotten_name = BusyName("forgotten");
    group.forget(&BusyKey {
        name: forgotten_name,
        _busy: None,
    });
    drop((forgotten, left));
    assert_eq!(ready(Hand::new(group.drain(at_once(()))).poll()), 1);
    assert!(drained.poll().is_ready());
    drop(drained);
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);

    // Dropped: 5 keys, 5 values, 2 clones of a value, 7 wakers.
    let dropped = 5 + 5 + 2 + 7;
    let (cloned, woken, ran, observed) = (2, 3, 1, 4);
    let expected = dropped + cloned + woken + ran + observed;
    assert_eq!(uses.load(Ordering::Relaxed), expected);
}

// 23
#[test]
fn a_drain_opens_nothing_and_waits_for_what_is_open() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    let mut drain = Hand::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    let mut late = Hand::new(group.call("late", never));
    assert_eq!(error(stage.poll(&mut late)), Error::Draining);
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut follower).is_pending());

    stage.run();
    assert_eq!(drain.wakes(), 0);
    job.land(7);
    stage.run();
    assert_eq!(drain.wakes(), 1);
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(answer(leader.poll()).callers, 2);
    assert_eq!(answer(follower.poll()).callers, 2);
    let mut after = Hand::new(group.call("k", never));
    assert_eq!(error(stage.poll(&mut after)), Error::Draining);
}

// 23
#[test]
fn a_drain_of_an_empty_group_ends_at_once() {
    let group = group();
    assert_eq!(ready(Hand::new(group.drain(pending())).poll()), 0);
    assert_eq!(ready(Hand::new(group.drain(at_once(()))).poll()), 0);
}

// 23
#[test]
fn a_drain_waits_for_superseded_and_stopping_flights() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut superseded = Hand::new(group.call("superseded", work));
    let mut stopping = Hand::new(group.call("stopping", endless));
    assert!(stage.poll(&mut superseded).is_pending());
    assert!(stage.poll(&mut stopping).is_pending());
    group.forget(&"superseded");
    drop(stopping);
    let mut drain = Hand::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    job.land(7);
    assert_eq!(counts(&group), [2, 1, 0]);
    stage.run();
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(answer(superseded.poll()).value, 7);
}

// 9, 23
#[test]
fn a_drain_at_its_deadline_cancels_what_is_left() {
    let (stage, group) = (Stage::new(), group());
    let (job, work) = Job::new();
    let mut listed = Hand::new(group.call("listed", work));
    let mut follower = Hand::new(group.call("listed", never));
    let mut superseded = Hand::new(group.call("superseded", endless));
    assert!(stage.poll(&mut listed).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    assert!(stage.poll(&mut superseded).is_pending());
    group.forget(&"superseded");
    stage.run();

    let (deadline, reached) = tokio::sync::oneshot::channel();
    let mut drain = Hand::new(group.drain(async { reached.await.unwrap() }));
    let mut other = Hand::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    assert!(other.poll().is_pending());
    deadline.send(()).unwrap();
    assert_eq!(ready(drain.poll()), 2);
    assert_eq!(
        (listed.wakes(), follower.wakes(), superseded.wakes()),
        (1, 1, 1)
    );
    assert!(matches!(error(listed.poll()), Error::Cancelled { .. }));
    assert!(matches!(error(follower.poll()), Error::Cancelled { .. }));
    assert!(matches!(error(superseded.poll()), Error::Cancelled { .. }));
    // Terminal at once; the work is dropped when its task is next scheduled, unpolled.
    assert_eq!(counts(&group), [2, 0, 0]);
    assert!(other.poll().is_pending());
    stage.run();
    assert_eq!(job.seen(), [1, 1, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(ready(other.poll()), 0);
}

// 23
#[test]
fn a_drain_ends_after_every_observer_was_told() {
    let stage = Stage::new();
    let told = Arc::new(AtomicUsize::new(0));
    let observer = {
        let told = Arc::clone(&told);
        move |_: &&'static str, _: &single_flight::EndedFlight<'_, u32>| {
            told.fetch_add(1, Ordering::Relaxed);
        }
    };
    let group = Group::with_observer(Policy::default(), Instant::now, observer);
    let mut call = Hand::new(group.call("k", |_flight| async { 7 }));
    assert!(stage.poll(&mut call).is_pending());
    let mut drain = Hand::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    stage.run();
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

/// Counts how often any key is hashed and compared.
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

// 22: a join hashes once and compares once, however many callers are on the flight, and however many
// flights are in the table. What else it costs is counted in instructions, by the benchmark.
#[test]
fn joining_hashes_once_and_compares_once() {
    const MANY: usize = if cfg!(miri) { 20 } else { 1_000 };
    let stage = Stage::new();
    let group: Group<Counted, u32> = Group::new(Policy {
        max_flights: 2 * MANY,
        ..Policy::default()
    });
    let effort: Arc<[AtomicUsize; 2]> = Arc::default();
    let call = |key| {
        let effort = Arc::clone(&effort);
        Hand::new(group.call(Counted { key, effort }, endless))
    };
    let spent = || [0, 1].map(|kind: usize| effort[kind].swap(0, Ordering::Relaxed));
    let mut calls: Vec<_> = (0..MANY).map(call).collect();
    for call in &mut calls {
        assert!(stage.poll(call).is_pending());
    }
    assert_eq!(spent(), [MANY, 0]);
    for _ in 0..MANY {
        let mut follower = call(7);
        assert!(stage.poll(&mut follower).is_pending());
        calls.push(follower);
        assert_eq!(spent(), [1, 1]);
    }
    drop(calls);
    stage.run();
    assert_eq!(spent(), [0, 0]);
}
