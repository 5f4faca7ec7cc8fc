//! The outcome of a flight, and how it reaches the callers.

use std::sync::Arc;
use std::task::Waker;

use single_flight::{Error, Group, Policy, Role};

use crate::harness::{Executor, Job, ManualFuture, counts, error, group, never, output};

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
