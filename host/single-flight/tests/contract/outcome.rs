//! The outcome of a flight, and how it reaches callers and the observer.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Instant;

use single_flight::{CallOutput, Error, FlightEnd, Group, Policy, Role};

use crate::harness::{
    Executor, Job, ManualFuture, counts, error, group, never, output, panic_of, ready,
};

/// The panic message of a call whose work must have panicked.
fn panic_in(poll: Poll<Result<CallOutput<u32>, Error>>) -> String {
    match error(poll) {
        Error::Panicked { message, .. } => message.to_string(),
        other => panic!("expected Error::Panicked, got {other:?}"),
    }
}

// contract 9, 10, 13
#[test]
fn landing_wakes_every_caller_once() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    let mut followers: Vec<_> = (0..5)
        .map(|_| ManualFuture::new(group.call("k", never)))
        .collect();
    for follower in &mut followers {
        assert!(executor.poll(follower).is_pending());
    }
    executor.run();
    assert_eq!(leader.wakes(), 0);
    job.land(7);
    executor.run();
    assert_eq!(leader.wakes(), 1);
    assert_eq!(output(leader.poll()).callers, 6);
    for follower in &mut followers {
        assert_eq!(follower.wakes(), 1);
        assert_eq!(output(follower.poll()).callers, 6);
    }
}

// contract 10
#[test]
fn a_caller_is_woken_through_the_waker_of_its_last_poll() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    let entered = executor.runtime.enter();
    assert!(leader.poll_with(Waker::noop()).is_pending());
    assert!(follower.poll_with(Waker::noop()).is_pending());
    drop(entered);
    assert!(leader.poll().is_pending());
    assert!(follower.poll().is_pending());
    assert!(follower.poll().is_pending());
    job.land(7);
    executor.run();
    assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
}

/// A waker that panics.
struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

// contract 10
#[test]
fn a_waker_that_panics_does_not_keep_others_from_being_woken() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    {
        let _entered = executor.runtime.enter();
        assert!(
            leader
                .poll_with(&Arc::new(PanickingWaker).into())
                .is_pending()
        );
    }
    assert!(executor.poll(&mut follower).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(follower.wakes(), 1);
    assert_eq!(output(follower.poll()).value, 7);
    assert_eq!(output(leader.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 13
#[test]
fn callers_counts_all_that_joined_including_those_that_left() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    for _ in 0..3 {
        let mut leaver = ManualFuture::new(group.call("k", never));
        assert!(executor.poll(&mut leaver).is_pending());
        assert_eq!(group.callers(), 2);
    }
    assert_eq!(group.callers(), 1);
    job.land(7);
    executor.run();
    let output = output(leader.poll());
    assert_eq!((output.callers, output.shared()), (4, true));
}

// contract 11
#[test]
fn an_error_is_a_value_that_all_callers_get_and_the_table_does_not_keep() {
    let executor = Executor::new();
    let group: Group<&str, Result<u32, Arc<str>>> = Group::new(Policy::default());
    let fail = |_flight| async { Err(Arc::from("not found")) };
    let mut leader = ManualFuture::new(group.call("k", fail));
    let mut follower = ManualFuture::new(group.call("k", fail));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    let (one, other) = (output(leader.poll()), output(follower.poll()));
    assert!(Arc::ptr_eq(
        &one.value.unwrap_err(),
        &other.value.unwrap_err()
    ));

    let mut next = ManualFuture::new(group.call("k", |_flight| async { Ok(7) }));
    assert!(executor.poll(&mut next).is_pending());
    executor.run();
    let next = output(next.poll());
    assert_eq!((next.value, next.role), (Ok(7), Role::Leader));
}

// contract 12
#[test]
fn a_panic_while_the_work_is_polled_reaches_every_caller() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    job.panic("out of items");
    executor.run();
    assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
    assert_eq!(panic_in(leader.poll()), "out of items");
    assert_eq!(panic_in(follower.poll()), "out of items");
    assert_eq!(job.counts(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 12
#[test]
fn a_panic_while_the_work_is_called_reaches_every_caller() {
    let (executor, group) = (Executor::new(), group());
    let call_panics =
        |flight| -> std::future::Ready<u32> { panic!("flight {flight} panics when called") };
    let mut leader = ManualFuture::new(group.call("k", call_panics));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    let reported = error(leader.poll());
    assert!(
        matches!(&reported, Error::Panicked { message, .. } if message.ends_with("panics when called"))
    );
    assert_eq!(error(follower.poll()), reported);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// Panics when it is dropped.
struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

// contract 12
#[test]
fn a_panic_while_the_work_is_dropped_reaches_every_caller() {
    let (executor, group) = (Executor::new(), group());
    // The future owns it until it is dropped, after it has returned its value.
    let work = |_flight| {
        let value = PanicOnDrop;
        std::future::poll_fn(move |_| {
            let _held = &value;
            std::task::Poll::Ready(7)
        })
    };
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    assert_eq!(panic_in(leader.poll()), "a drop panics");
    assert_eq!(panic_in(follower.poll()), "a drop panics");
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 12, 20
#[test]
fn a_panic_while_cancelled_work_is_dropped_leaves_the_table_usable() {
    let (executor, group) = (Executor::new(), group());
    for polled in [false, true] {
        let value = Mutex::new(Some(PanicOnDrop));
        let work = move |_flight| async move {
            let _held = value;
            std::future::pending().await
        };
        let mut call = ManualFuture::new(group.call("k", work));
        assert!(executor.poll(&mut call).is_pending());
        if polled {
            executor.run();
        }
        drop(call);
        executor.run();
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// contract 12
#[test]
fn a_panic_payload_that_is_not_a_string_is_reported() {
    let (executor, group) = (Executor::new(), group());
    let mut call = ManualFuture::new(group.call("k", |_flight| async { panic_any(7_u32) }));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(panic_in(call.poll()), "the panic payload is not a string");
}

/// A value whose second clone panics.
struct PanicsOnSecondClone(Arc<AtomicUsize>);

impl Clone for PanicsOnSecondClone {
    fn clone(&self) -> Self {
        assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 1, "second clone");
        Self(Arc::clone(&self.0))
    }
}

// contract 9
#[test]
fn a_panic_in_a_values_clone_reaches_that_caller_alone() {
    let executor = Executor::new();
    let group: Group<&str, PanicsOnSecondClone> = Group::new(Policy::default());
    let mut calls: Vec<_> = (0..3)
        .map(|_| {
            ManualFuture::new(
                group.call("k", |_flight| async { PanicsOnSecondClone(Arc::default()) }),
            )
        })
        .collect();
    for call in &mut calls {
        assert!(executor.poll(call).is_pending());
    }
    executor.run();
    assert_eq!(output(calls[0].poll()).callers, 3);
    assert!(panic_of(|| calls[1].poll()).contains("second clone"));
    calls.remove(1);
    assert_eq!(output(calls[1].poll()).callers, 3);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// A value that panics when it is dropped, except while another panic unwinds.
#[derive(Clone)]
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a drop panics");
    }
}

// contract 9: the value panics where it is dropped. The flight's own value is dropped with its last caller,
// or in its task if it has no caller.
#[test]
fn a_panic_in_a_values_drop_leaves_the_table_usable() {
    let executor = Executor::new();
    let group: Group<&str, PanicsWhenDropped> = Group::new(Policy::default());
    let mut first = ManualFuture::new(group.call("k", |_flight| async { PanicsWhenDropped }));
    let mut second = ManualFuture::new(group.call("k", |_flight| async { PanicsWhenDropped }));
    assert!(executor.poll(&mut first).is_pending());
    assert!(executor.poll(&mut second).is_pending());
    executor.run();
    assert_eq!(panic_of(|| drop(first.poll())), "a drop panics");
    assert_eq!(panic_of(|| second.poll()), "a drop panics");
    assert_eq!(counts(&group), [0, 0, 0]);

    let mut left = ManualFuture::new(group.call("k", |_flight| async { PanicsWhenDropped }));
    assert!(executor.poll(&mut left).is_pending());
    drop(left);
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 24
#[test]
fn no_caller_sees_changes_that_another_makes_to_its_value() {
    let executor = Executor::new();
    let group: Group<&str, Arc<Vec<u32>>> = Group::new(Policy::default());
    let items = |_flight| async { Arc::new(vec![3, 1, 2]) };
    let mut leader = ManualFuture::new(group.call("k", items));
    let mut follower = ManualFuture::new(group.call("k", items));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    let mut sorted = output(leader.poll()).value;
    Arc::make_mut(&mut sorted).sort_unstable();
    assert_eq!(*sorted, [1, 2, 3]);
    assert_eq!(*output(follower.poll()).value, [3, 1, 2]);
}

// contract 9, 10
#[test]
fn callers_get_cancelled_when_the_runtime_shuts_down() {
    for started in [false, true] {
        let (executor, group) = (Executor::new(), group());
        let (job, work) = Job::new();
        let mut leader = ManualFuture::new(group.call("k", work));
        let mut follower = ManualFuture::new(group.call("k", never));
        assert!(executor.poll(&mut leader).is_pending());
        assert!(executor.poll(&mut follower).is_pending());
        if started {
            executor.run();
        }
        drop(executor);
        assert_eq!((leader.wakes(), follower.wakes()), (1, 1));
        assert!(matches!(error(leader.poll()), Error::Cancelled { .. }));
        assert!(matches!(error(follower.poll()), Error::Cancelled { .. }));
        assert_eq!(
            job.counts(),
            [usize::from(started), usize::from(started), 1]
        );
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// contract 9, 10
#[test]
fn a_flight_opened_on_a_runtime_that_has_shut_down_is_cancelled() {
    let group = group();
    let gone = Executor::new().runtime.handle().clone();
    let mut call = ManualFuture::new(group.call("k", never));
    let _entered = gone.enter();
    assert!(call.poll().is_pending());
    assert_eq!(call.wakes(), 1);
    assert!(matches!(error(call.poll()), Error::Cancelled { .. }));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 12, 20
#[test]
fn opening_a_flight_without_a_runtime_panics_and_leaves_the_table_usable() {
    let group = group();
    let mut outside = ManualFuture::new(group.call("k", never));
    assert!(panic_of(|| outside.poll()).contains("runtime"));
    drop(outside);
    assert_eq!(counts(&group), [0, 0, 0]);

    let executor = Executor::new();
    let mut inside = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    assert!(executor.poll(&mut inside).is_pending());
    executor.run();
    assert_eq!(output(inside.poll()).value, 7);
}

// contract 2: only a leader spawns a task.
#[test]
fn joining_needs_no_runtime() {
    let (executor, group) = (Executor::new(), group());
    let mut leader = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    assert!(executor.poll(&mut leader).is_pending());
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(follower.poll().is_pending());
    executor.run();
    assert_eq!(output(follower.poll()).value, 7);
}

// contract 9
#[test]
fn polling_a_call_that_has_completed_panics() {
    let (executor, group) = (Executor::new(), group());
    let mut call = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(output(call.poll()).value, 7);
    assert!(panic_of(|| call.poll()).contains("after it had completed"));
}

// contract 8, 13: each flight is reported once, with the outcome and the count its callers get.
#[test]
fn the_observer_gets_each_ended_flight_once() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let reported = Arc::clone(&reported);
        move |key: &&'static str, ended: &single_flight::EndedFlight<'_, u32>| {
            let end = match ended.end {
                FlightEnd::Landed(value) => format!("landed {value}"),
                FlightEnd::Panicked(message) => format!("panicked {message}"),
                FlightEnd::Cancelled => "cancelled".to_owned(),
            };
            reported.lock().unwrap().push((*key, end, ended.callers));
        }
    };
    let group = Group::with_observer(Policy::default(), Instant::now, observer);
    let executor = Executor::new();
    let open = |key, callers: usize| {
        let (job, work) = Job::new();
        let mut leader = ManualFuture::new(group.call(key, work));
        assert!(executor.poll(&mut leader).is_pending());
        for _ in 1..callers {
            assert!(
                executor
                    .poll(&mut ManualFuture::new(group.call(key, never)))
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
    executor.run();
    panicking.panic("out of items");
    executor.run();
    drop(leaver);
    executor.run();
    group.forget(&"is forgotten");
    superseded.land(8);
    executor.run();
    drop(executor);
    let expected = [
        ("lands", "landed 7", 3),
        ("panics", "panicked out of items", 1),
        ("is left", "cancelled", 2),
        ("is forgotten", "landed 8", 1),
        ("loses its runtime", "cancelled", 1),
    ];
    let expected = expected.map(|(key, end, callers)| (key, end.to_owned(), callers));
    assert_eq!(*reported.lock().unwrap(), expected);
}

// contract 8: the outcome is settled before the observer is called.
#[test]
fn an_observer_that_panics_changes_nothing() {
    let executor = Executor::new();
    let group = Group::with_observer(Policy::default(), Instant::now, |_: &&str, _| {
        panic!("the observer panics")
    });
    let mut leader = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    assert_eq!(output(leader.poll()).value, 7);
    assert_eq!(output(follower.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
    let mut drain = ManualFuture::new(group.drain(std::future::pending()));
    assert_eq!(ready(drain.poll()), 0);
}

#[test]
fn the_message_of_an_error_says_what_to_do() {
    let (executor, group) = (Executor::new(), group());
    let mut call = ManualFuture::new(group.call("k", |_flight| async { panic!("out of items") }));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    let panicked = error(call.poll());
    let Error::Panicked { flight, .. } = panicked else {
        panic!("expected Error::Panicked, got {panicked:?}");
    };
    let messages = [
        panicked,
        Error::Cancelled { flight },
        Error::TooManyFlights { limit: 2 },
        Error::TooManyCallers { limit: 3 },
        Error::TooManyExecutions { limit: 4 },
        Error::WouldDeadlock,
        Error::Draining,
    ]
    .map(|error| error.to_string());
    assert_eq!(
        messages,
        [
            "the work panicked, the next call runs it again: out of items",
            "the flight was cancelled; call again",
            "expected fewer than 2 flights alive, got 2; call again when one has ended",
            "expected fewer than 3 callers on this flight, got 3; call again when it has landed",
            "expected fewer than 4 executions of this key alive, got 4; call again when one has ended",
            "the work called for a flight that waits for it; remove the circular call",
            "the group is draining and opens no more flights; use another group",
        ]
    );
    assert!(flight.to_string().parse::<u64>().is_ok());
}
