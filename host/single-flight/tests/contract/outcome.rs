//! What a flight comes to, and who learns it: points 8 to 13 and 24.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use std::time::Instant;

use single_flight::{CallOutput, Error, FlightEnd, Group, Policy, Role};

use crate::hands::{Hand, Job, Stage, answer, counts, error, group, never, panic_of, ready};

/// What the work of a call that must have panicked said.
fn panic_in(poll: Poll<Result<CallOutput<u32>, Error>>) -> String {
    match error(poll) {
        Error::Panicked { message, .. } => message.to_string(),
        other => panic!("the work must have panicked, not: {other}"),
    }
}

// 9, 10, 13
#[test]
fn landing_wakes_every_caller_once() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    let mut followers: Vec<_> = (0..5).map(|_| Hand::new(group.call("k", never))).collect();
    for follower in &mut followers {
        assert!(stage.poll(follower).is_pending());
    }
    stage.run();
    assert_eq!(leader.wakes(), 0);
    job.land(7);
    stage.run();
    assert_eq!(leader.wakes(), 1);
    assert_eq!(answer(leader.poll()).callers, 6);
    for follower in &mut followers {
        assert_eq!(follower.wakes(), 1);
        assert_eq!(answer(follower.poll()).callers, 6);
    }
}

// 10
#[test]
fn a_caller_is_woken_through_the_waker_of_its_last_poll() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    let entered = stage.runtime.enter();
    assert!(leader.poll_with(Waker::noop()).is_pending());
    assert!(follower.poll_with(Waker::noop()).is_pending());
    drop(entered);
    assert!(leader.poll().is_pending());
    assert!(follower.poll().is_pending());
    assert!(follower.poll().is_pending());
    job.land(7);
    stage.run();
    assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
}

/// A waker that panics.
struct Thorn;

impl Wake for Thorn {
    fn wake(self: Arc<Self>) {
        panic!("of a waker");
    }
}

// 10
#[test]
fn a_waker_that_panics_costs_nobody_else_their_wake() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    {
        let _entered = stage.runtime.enter();
        assert!(leader.poll_with(&Arc::new(Thorn).into()).is_pending());
    }
    assert!(stage.poll(&mut follower).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(follower.wakes(), 1);
    assert_eq!(answer(follower.poll()).value, 7);
    assert_eq!(answer(leader.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 13
#[test]
fn callers_counts_all_who_joined_those_who_left_too() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    for _ in 0..3 {
        let mut leaver = Hand::new(group.call("k", never));
        assert!(stage.poll(&mut leaver).is_pending());
        assert_eq!(group.callers(), 2);
    }
    assert_eq!(group.callers(), 1);
    job.land(7);
    stage.run();
    let answer = answer(leader.poll());
    assert_eq!((answer.callers, answer.shared()), (4, true));
}

// 11
#[test]
fn an_error_is_a_value_that_all_see_and_nobody_keeps() {
    let stage = Stage::new();
    let group: Group<&str, Result<u32, Arc<str>>> = Group::new(Policy::default());
    let fail = |_flight| async { Err(Arc::from("not found")) };
    let mut leader = Hand::new(group.call("k", fail));
    let mut follower = Hand::new(group.call("k", fail));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    let (one, other) = (answer(leader.poll()), answer(follower.poll()));
    assert!(Arc::ptr_eq(
        &one.value.unwrap_err(),
        &other.value.unwrap_err()
    ));

    let mut next = Hand::new(group.call("k", |_flight| async { Ok(7) }));
    assert!(stage.poll(&mut next).is_pending());
    stage.run();
    let next = answer(next.poll());
    assert_eq!((next.value, next.role), (Ok(7), Role::Leader));
}

// 12
#[test]
fn a_panic_while_the_work_is_polled_reaches_every_caller() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    job.panic("out of items");
    stage.run();
    assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
    assert_eq!(panic_in(leader.poll()), "out of items");
    assert_eq!(panic_in(follower.poll()), "out of items");
    assert_eq!(job.seen(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 12
#[test]
fn a_panic_while_the_work_is_called_reaches_every_caller() {
    let (stage, group) = (Stage::new(), group());
    let call_panics = |flight| -> std::future::Ready<u32> { panic!("no {flight} for you") };
    let mut leader = Hand::new(group.call("k", call_panics));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    let told = error(leader.poll());
    assert!(matches!(&told, Error::Panicked { message, .. } if message.ends_with("for you")));
    assert_eq!(error(follower.poll()), told);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// Panics when it is dropped.
struct Spring;

impl Drop for Spring {
    fn drop(&mut self) {
        panic!("of a drop");
    }
}

// 12
#[test]
fn a_panic_while_the_work_is_dropped_reaches_every_caller() {
    let (stage, group) = (Stage::new(), group());
    // A future that holds the spring until it is dropped itself, after it has returned a value.
    let work = |_flight| {
        let spring = Spring;
        std::future::poll_fn(move |_| {
            let _held = &spring;
            std::task::Poll::Ready(7)
        })
    };
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    assert_eq!(panic_in(leader.poll()), "of a drop");
    assert_eq!(panic_in(follower.poll()), "of a drop");
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 12, 20
#[test]
fn a_panic_while_cancelled_work_is_dropped_leaves_the_table_usable() {
    let (stage, group) = (Stage::new(), group());
    for polled in [false, true] {
        let spring = Mutex::new(Some(Spring));
        let work = move |_flight| async move {
            let _held = spring;
            std::future::pending().await
        };
        let mut call = Hand::new(group.call("k", work));
        assert!(stage.poll(&mut call).is_pending());
        if polled {
            stage.run();
        }
        drop(call);
        stage.run();
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// 12
#[test]
fn a_panic_that_is_not_text_is_still_told() {
    let (stage, group) = (Stage::new(), group());
    let mut call = Hand::new(group.call("k", |_flight| async { panic_any(7_u32) }));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(panic_in(call.poll()), "the panic payload is not a string");
}

/// A value whose second clone panics.
struct Brittle(Arc<AtomicUsize>);

impl Clone for Brittle {
    fn clone(&self) -> Self {
        assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 1, "second clone");
        Self(Arc::clone(&self.0))
    }
}

// 9
#[test]
fn a_panic_in_a_values_clone_belongs_to_that_caller_alone() {
    let stage = Stage::new();
    let group: Group<&str, Brittle> = Group::new(Policy::default());
    let mut calls: Vec<_> = (0..3)
        .map(|_| Hand::new(group.call("k", |_flight| async { Brittle(Arc::default()) })))
        .collect();
    for call in &mut calls {
        assert!(stage.poll(call).is_pending());
    }
    stage.run();
    assert_eq!(answer(calls[0].poll()).callers, 3);
    assert!(panic_of(|| calls[1].poll()).contains("second clone"));
    calls.remove(1);
    assert_eq!(answer(calls[1].poll()).callers, 3);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// A value that panics when it is dropped, unless that is while another panic unwinds.
#[derive(Clone)]
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "of a drop");
    }
}

// 9: a value that panics when it is dropped does so where that happens. The flight's own is dropped with
// the last of its callers, or in its task where nobody waits for it.
#[test]
fn a_panic_in_a_values_drop_leaves_the_table_usable() {
    let stage = Stage::new();
    let group: Group<&str, Explosive> = Group::new(Policy::default());
    let mut first = Hand::new(group.call("k", |_flight| async { Explosive }));
    let mut second = Hand::new(group.call("k", |_flight| async { Explosive }));
    assert!(stage.poll(&mut first).is_pending());
    assert!(stage.poll(&mut second).is_pending());
    stage.run();
    assert_eq!(panic_of(|| drop(first.poll())), "of a drop");
    assert_eq!(panic_of(|| second.poll()), "of a drop");
    assert_eq!(counts(&group), [0, 0, 0]);

    let mut left = Hand::new(group.call("k", |_flight| async { Explosive }));
    assert!(stage.poll(&mut left).is_pending());
    drop(left);
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 24
#[test]
fn no_caller_sees_what_another_makes_of_its_value() {
    let stage = Stage::new();
    let group: Group<&str, Arc<Vec<u32>>> = Group::new(Policy::default());
    let items = |_flight| async { Arc::new(vec![3, 1, 2]) };
    let mut leader = Hand::new(group.call("k", items));
    let mut follower = Hand::new(group.call("k", items));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    let mut sorted = answer(leader.poll()).value;
    Arc::make_mut(&mut sorted).sort_unstable();
    assert_eq!(*sorted, [1, 2, 3]);
    assert_eq!(*answer(follower.poll()).value, [3, 1, 2]);
}

// 9, 10
#[test]
fn callers_of_a_runtime_that_goes_away_are_cancelled() {
    for started in [false, true] {
        let (stage, group) = (Stage::new(), group());
        let (job, work) = Job::new();
        let mut leader = Hand::new(group.call("k", work));
        let mut follower = Hand::new(group.call("k", never));
        assert!(stage.poll(&mut leader).is_pending());
        assert!(stage.poll(&mut follower).is_pending());
        if started {
            stage.run();
        }
        drop(stage);
        assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
        assert!(matches!(error(leader.poll()), Error::Cancelled { .. }));
        assert!(matches!(error(follower.poll()), Error::Cancelled { .. }));
        assert_eq!(job.seen(), [usize::from(started), usize::from(started), 1]);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// 9, 10
#[test]
fn a_flight_opened_on_a_runtime_that_is_gone_is_cancelled() {
    let group = group();
    let gone = Stage::new().runtime.handle().clone();
    let mut call = Hand::new(group.call("k", never));
    let _entered = gone.enter();
    assert!(call.poll().is_pending());
    assert_eq!(call.wakes(), 1);
    assert!(matches!(error(call.poll()), Error::Cancelled { .. }));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 12, 20
#[test]
fn opening_a_flight_without_a_runtime_panics_and_leaves_the_table_usable() {
    let group = group();
    let mut outside = Hand::new(group.call("k", never));
    assert!(panic_of(|| outside.poll()).contains("runtime"));
    drop(outside);
    assert_eq!(counts(&group), [0, 0, 0]);

    let stage = Stage::new();
    let mut inside = Hand::new(group.call("k", |_flight| async { 7 }));
    assert!(stage.poll(&mut inside).is_pending());
    stage.run();
    assert_eq!(answer(inside.poll()).value, 7);
}

// 2: only a leader spawns.
#[test]
fn joining_needs_no_runtime() {
    let (stage, group) = (Stage::new(), group());
    let mut leader = Hand::new(group.call("k", |_flight| async { 7 }));
    assert!(stage.poll(&mut leader).is_pending());
    let mut follower = Hand::new(group.call("k", never));
    assert!(follower.poll().is_pending());
    stage.run();
    assert_eq!(answer(follower.poll()).value, 7);
}

// 9
#[test]
fn polling_a_call_that_has_completed_panics() {
    let (stage, group) = (Stage::new(), group());
    let mut call = Hand::new(group.call("k", |_flight| async { 7 }));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(answer(call.poll()).value, 7);
    assert!(panic_of(|| call.poll()).contains("after it had completed"));
}

// 8, 13: each flight is told once, with the outcome and the count its callers get.
#[test]
fn the_observer_is_told_once_how_each_flight_ended() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let told = Arc::clone(&told);
        move |key: &&'static str, ended: &single_flight::EndedFlight<'_, u32>| {
            let end = match ended.end {
                FlightEnd::Landed(value) => format!("landed {value}"),
                FlightEnd::Panicked(message) => format!("panicked {message}"),
                FlightEnd::Cancelled => "cancelled".to_owned(),
            };
            told.lock().unwrap().push((*key, end, ended.callers));
        }
    };
    let group = Group::with_observer(Policy::default(), Instant::now, observer);
    let stage = Stage::new();
    let open = |key, callers: usize| {
        let (job, work) = Job::new();
        let mut leader = Hand::new(group.call(key, work));
        assert!(stage.poll(&mut leader).is_pending());
        for _ in 1..callers {
            assert!(
                stage
                    .poll(&mut Hand::new(group.call(key, never)))
                    .is_pending()
            );
        }
        (job, leader)
    };
    let (mut landing, _landing) = open("lands", 3);
    let (mut panicking, _panicking) = open("panics", 1);
    let (_left, leaver) = open("is left", 2);
    let (mut superseded, _superseded) = open("is forgotten", 1);
    let (_gone, _stays) = open("loses its runtime", 1);
    landing.land(7);
    stage.run();
    panicking.panic("out of items");
    stage.run();
    drop(leaver);
    stage.run();
    group.forget(&"is forgotten");
    superseded.land(8);
    stage.run();
    drop(stage);
    let expected = [
        ("lands", "landed 7", 3),
        ("panics", "panicked out of items", 1),
        ("is left", "cancelled", 2),
        ("is forgotten", "landed 8", 1),
        ("loses its runtime", "cancelled", 1),
    ];
    let expected = expected.map(|(key, end, callers)| (key, end.to_owned(), callers));
    assert_eq!(*told.lock().unwrap(), expected);
}

// 8: by then the outcome is settled.
#[test]
fn an_observer_that_panics_changes_nothing() {
    let stage = Stage::new();
    let group = Group::with_observer(Policy::default(), Instant::now, |_: &&str, _| {
        panic!("of an observer")
    });
    let mut leader = Hand::new(group.call("k", |_flight| async { 7 }));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    assert_eq!(answer(leader.poll()).value, 7);
    assert_eq!(answer(follower.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
    let mut drain = Hand::new(group.drain(std::future::pending()));
    assert_eq!(ready(drain.poll()), 0);
}
