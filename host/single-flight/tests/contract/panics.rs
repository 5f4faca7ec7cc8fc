//! Panics in the work, in wakers, and in the clone and drop of values.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake};

use single_flight::{CallOutput, Error, Group, Policy};

use crate::harness::{Executor, Job, ManualFuture, counts, error, group, never, output, panic_of};

/// The panic message of a call whose work must have panicked.
fn panic_in(poll: Poll<Result<CallOutput<u32>, Error>>) -> String {
    match error(poll) {
        Error::Panicked { message, .. } => message.to_string(),
        other => panic!("expected Error::Panicked, got {other:?}"),
    }
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
