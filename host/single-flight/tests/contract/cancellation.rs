//! Callers that leave, are not polled, or join while others leave.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::future::{Either, select};
use single_flight::{Error, FlightId, Group, Policy, Role};
use tokio::sync::oneshot;

use crate::harness::{
    Executor, Job, ManualFuture, counts, endless, error, group, never, output, ready,
};

// contract 14
#[test]
fn a_leader_that_is_not_polled_stalls_no_other_caller() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(follower.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(output(leader.poll()).value, 7);
}

// contract 14
#[test]
fn dropping_the_leader_keeps_the_flight_for_followers() {
    for started in [false, true] {
        let (executor, group) = (Executor::new(), group());
        let (mut job, work) = Job::new();
        let mut leader = ManualFuture::new(group.call("k", work));
        let mut follower = ManualFuture::new(group.call("k", never));
        assert!(executor.poll(&mut leader).is_pending());
        assert!(executor.poll(&mut follower).is_pending());
        if started {
            executor.run();
        }
        drop(leader);
        assert_eq!(counts(&group), [1, 1, 1]);
        job.land(7);
        executor.run();
        let output = output(follower.poll());
        assert_eq!(
            (output.value, output.role, output.callers),
            (7, Role::Follower, 2)
        );
        assert_eq!(job.counts()[0], 1);
    }
}

// contract 14
#[test]
fn dropping_a_follower_keeps_the_flight_for_the_others() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut leaver = ManualFuture::new(group.call("k", never));
    let mut stayer = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut leaver).is_pending());
    assert!(executor.poll(&mut stayer).is_pending());
    drop(leaver);
    // Gets the vacated slot, and must not be mistaken for the caller that left.
    let mut newcomer = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut newcomer).is_pending());
    job.land(7);
    executor.run();
    for call in [&mut stayer, &mut newcomer] {
        assert_eq!(call.wakes(), 1);
        assert_eq!(output(call.poll()).callers, 4);
    }
    assert_eq!(output(leader.poll()).callers, 4);
}

// contract 14
#[test]
fn the_work_is_neither_called_nor_polled_by_a_caller() {
    let (executor, group) = (Executor::new(), group());
    let (job, work) = Job::new();
    let mut call = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut call).is_pending());
    assert!(executor.poll(&mut call).is_pending());
    assert_eq!(job.counts(), [0, 0, 0]);
    executor.run();
    assert_eq!(job.counts(), [1, 1, 0]);
}

// contract 15
#[test]
fn the_last_caller_to_leave_cancels_the_flight() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    assert_eq!(job.counts(), [1, 1, 0]);
    drop(leader);
    assert_eq!(counts(&group), [1, 1, 1]);
    drop(follower);
    // The key is free at once. The work is still there, so the flight still counts.
    assert_eq!(counts(&group), [1, 0, 0]);
    assert_eq!(job.counts(), [1, 1, 0]);

    // The end of the work comes too late: it is dropped, not polled.
    job.land(7);
    executor.run();
    assert_eq!(job.counts(), [1, 1, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 15
#[test]
fn a_flight_that_is_left_before_its_task_runs_never_calls_its_work() {
    let (executor, group) = (Executor::new(), group());
    let (job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    drop(leader);
    assert_eq!(counts(&group), [1, 0, 0]);
    executor.run();
    assert_eq!(job.counts(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 15
#[test]
fn the_last_caller_to_leave_a_superseded_flight_cancels_that_one_alone() {
    let (executor, group) = (Executor::new(), group());
    let (old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    assert!(executor.poll(&mut old).is_pending());
    executor.run();
    group.forget(&"k");
    let mut new = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut new).is_pending());
    drop(old);
    executor.run();
    assert_eq!(old_job.counts(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 1]);
    new_job.land(2);
    executor.run();
    assert_eq!(output(new.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 15
#[test]
fn leaving_a_flight_that_has_landed_changes_nothing() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut old).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    old_job.land(1);
    executor.run();
    let mut new = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut new).is_pending());
    drop(old);
    assert_eq!(counts(&group), [1, 1, 1]);
    assert_eq!(output(follower.poll()).callers, 2);
    new_job.land(2);
    executor.run();
    assert_eq!(output(new.poll()).value, 2);
}

// contract 16
#[test]
fn a_newcomer_to_a_cancelled_flight_opens_its_own() {
    let (executor, group) = (Executor::new(), group());
    let (old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    assert!(executor.poll(&mut old).is_pending());
    executor.run();
    drop(old);
    // The cancelled work is not dropped yet.
    let mut new = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut new).is_pending());
    assert_eq!(old_job.counts(), [1, 1, 0]);
    assert_eq!(counts(&group), [2, 1, 1]);
    executor.run();
    assert_eq!(old_job.counts(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 1]);
    new_job.land(2);
    executor.run();
    let output = output(new.poll());
    assert_eq!(
        (output.value, output.role, output.callers),
        (2, Role::Leader, 1)
    );
}

/// A call that is dropped when its caller's deadline is reached.
async fn until<T>(deadline: oneshot::Receiver<()>, call: impl Future<Output = T>) -> Option<T> {
    match select(pin!(deadline), pin!(call)).await {
        Either::Left(_) => None,
        Either::Right((outcome, _)) => Some(outcome),
    }
}

// contract 14, 17
#[test]
fn the_deadline_of_a_caller_ends_its_own_call_and_no_other() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let (deadlines, reached): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
    let mut reached = reached.into_iter();
    let mut deadline = || reached.next().expect("one for each caller");
    let mut leader = ManualFuture::new(until(deadline(), group.call("k", work)));
    let mut follower = ManualFuture::new(until(deadline(), group.call("k", never)));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    let mut deadlines = deadlines.into_iter();
    let leaders = deadlines.next().expect("one for each caller");
    leaders.send(()).expect("the leader waits for it");
    assert!(ready(leader.poll()).is_none());
    assert_eq!(counts(&group), [1, 1, 1]);
    job.land(7);
    executor.run();
    let follower = ready(follower.poll()).expect("its deadline is not reached");
    assert_eq!(follower.map(|output| output.value), Ok(7));
}

// contract 8, 17: the table has no deadline of flights. The work sets it and returns an error value.
#[test]
fn the_deadline_of_a_flight_lands_as_a_value_for_all_its_callers() {
    let executor = Executor::new();
    let group: Group<&str, Option<u32>> = Group::new(Policy::default());
    let (deadline, reached) = oneshot::channel();
    let work = |_flight| until(reached, std::future::pending());
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", |_flight| async { Some(7) }));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    assert!(leader.poll().is_pending() && follower.poll().is_pending());
    deadline.send(()).expect("the work waits for it");
    executor.run();
    assert_eq!(output(leader.poll()).value, None);
    assert_eq!(output(follower.poll()).value, None);
}

// contract 7, 15
#[test]
fn a_flight_counts_as_alive_while_its_work_is_dropped() {
    for (started, left) in [(false, false), (true, false), (false, true), (true, true)] {
        let (executor, group) = (Executor::new(), group());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let count = CountOnDrop {
            group: group.clone(),
            seen: Arc::clone(&seen),
        };
        let work = move |_flight: FlightId| async move {
            let _count = count;
            std::future::pending().await
        };
        let mut call = ManualFuture::new(group.call("k", work));
        assert!(executor.poll(&mut call).is_pending());
        if started {
            executor.run();
        }
        if left {
            drop(call);
            executor.run();
        } else {
            drop(executor);
        }
        assert_eq!(*seen.lock().unwrap(), [1]);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

/// Records the number of flights alive when it is dropped.
struct CountOnDrop {
    group: Group<&'static str, u32>,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        let mut seen = self.seen.lock().expect("no test panics under this lock");
        seen.push(self.group.flights());
    }
}

// contract 14, 15: the "Cancel safety" section of `CallFuture`.
#[test]
fn cancel_safety_of_call() {
    let (executor, group) = (Executor::new(), group());
    // Before the first poll it has done nothing.
    drop(group.call("k", never));
    assert_eq!(counts(&group), [0, 0, 0]);
    // After it, the flight continues for its other callers.
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    drop(leader);
    job.land(7);
    executor.run();
    assert_eq!(output(follower.poll()).value, 7);
    // When the last one leaves, the flight is cancelled.
    let (job, work) = Job::new();
    let mut only = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut only).is_pending());
    drop(only);
    assert_eq!(group.entries(), 0);
    executor.run();
    assert_eq!(job.counts(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 23: the "Cancel safety" section of `Group::drain`.
#[test]
fn cancel_safety_of_drain() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut call = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut call).is_pending());
    // Dropped before its first poll, it has not started.
    drop(group.drain(std::future::ready(())));
    let mut other = ManualFuture::new(group.call("other", endless));
    assert!(executor.poll(&mut other).is_pending());
    drop(other);
    executor.run();
    // Dropped after it, it has cancelled nothing, and the group opens no more flights.
    let mut drain = ManualFuture::new(group.drain(std::future::pending()));
    assert!(drain.poll().is_pending());
    drop(drain);
    assert_eq!(counts(&group), [1, 1, 1]);
    let mut late = ManualFuture::new(group.call("late", never));
    assert_eq!(error(executor.poll(&mut late)), Error::Draining);
    // It can be called again.
    let mut drain = ManualFuture::new(group.drain(std::future::pending()));
    assert!(drain.poll().is_pending());
    job.land(7);
    executor.run();
    assert_eq!(drain.wakes(), 1);
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(output(call.poll()).value, 7);
}
