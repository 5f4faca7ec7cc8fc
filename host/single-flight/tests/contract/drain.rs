//! Draining a group.

use std::future::{pending, ready as at_once};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use single_flight::{Error, Group, Policy};

use crate::harness::{
    Executor, Job, ManualFuture, counts, endless, error, group, never, output, ready,
};

// contract 23
#[test]
fn a_drain_opens_no_flight_and_waits_for_the_open_ones() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(!group.is_draining());
    let mut drain = ManualFuture::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    assert!(group.is_draining());
    let mut late = ManualFuture::new(group.call("late", never));
    assert_eq!(error(executor.poll(&mut late)), Error::Draining);
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut follower).is_pending());

    executor.run();
    assert_eq!(drain.wakes(), 0);
    job.land(7);
    executor.run();
    assert_eq!(drain.wakes(), 1);
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(output(leader.poll()).callers, 2);
    assert_eq!(output(follower.poll()).callers, 2);
    let mut after = ManualFuture::new(group.call("k", never));
    assert_eq!(error(executor.poll(&mut after)), Error::Draining);
}

// contract 23
#[test]
fn a_drain_of_an_empty_group_ends_at_once() {
    let group = group();
    assert_eq!(ready(ManualFuture::new(group.drain(pending())).poll()), 0);
    assert_eq!(ready(ManualFuture::new(group.drain(at_once(()))).poll()), 0);
}

// contract 23
#[test]
fn a_drain_waits_for_superseded_and_stopping_flights() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut superseded = ManualFuture::new(group.call("superseded", work));
    let mut stopping = ManualFuture::new(group.call("stopping", endless));
    assert!(executor.poll(&mut superseded).is_pending());
    assert!(executor.poll(&mut stopping).is_pending());
    group.forget(&"superseded");
    drop(stopping);
    let mut drain = ManualFuture::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    job.land(7);
    assert_eq!(counts(&group), [2, 1, 0]);
    executor.run();
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(output(superseded.poll()).value, 7);
}

// contract 9, 23
#[test]
fn a_drain_at_its_deadline_cancels_the_remaining_flights() {
    let (executor, group) = (Executor::new(), group());
    let (job, work) = Job::new();
    let mut listed = ManualFuture::new(group.call("listed", work));
    let mut follower = ManualFuture::new(group.call("listed", never));
    let mut superseded = ManualFuture::new(group.call("superseded", endless));
    assert!(executor.poll(&mut listed).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    assert!(executor.poll(&mut superseded).is_pending());
    group.forget(&"superseded");
    executor.run();

    let (deadline, reached) = tokio::sync::oneshot::channel();
    let mut drain = ManualFuture::new(group.drain(async { reached.await.unwrap() }));
    let mut other = ManualFuture::new(group.drain(pending()));
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
    // Terminal at once. The work is dropped unpolled when its task is next scheduled.
    assert_eq!(counts(&group), [2, 0, 0]);
    assert!(other.poll().is_pending());
    executor.run();
    assert_eq!(job.counts(), [1, 1, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(ready(other.poll()), 0);
}

// contract 23
#[test]
fn a_drain_ends_after_every_observer_call() {
    let executor = Executor::new();
    let reported = Arc::new(AtomicUsize::new(0));
    let observer = {
        let reported = Arc::clone(&reported);
        move |_: &&'static str, _: &single_flight::EndedFlight<'_, u32>| {
            reported.fetch_add(1, Ordering::Relaxed);
        }
    };
    let group = Group::with_observer(Policy::default(), Instant::now, observer);
    let mut call = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    assert!(executor.poll(&mut call).is_pending());
    let mut drain = ManualFuture::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    executor.run();
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(reported.load(Ordering::Relaxed), 1);
}

// contract 7, 23
#[test]
fn while_draining_a_call_past_another_limit_gets_draining() {
    let executor = Executor::new();
    let group: Group<&str, u32> = Group::new(Policy {
        max_executions_per_key: Some(2),
        ..Policy::default()
    });
    let mut callers = [(); 2].map(|()| ManualFuture::new(group.call_fresh("k", endless)));
    for caller in &mut callers {
        assert!(executor.poll(caller).is_pending());
    }
    let mut drain = ManualFuture::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    let mut refused = ManualFuture::new(group.call_fresh("k", never));
    assert_eq!(error(executor.poll(&mut refused)), Error::Draining);
}
