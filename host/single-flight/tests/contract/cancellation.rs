//! Callers that leave, are held, or come as others leave: points 14 to 16.

use std::sync::{Arc, Mutex};

use single_flight::{Error, FlightId, Role};

use crate::hands::{Hand, Job, Stage, answer, counts, endless, error, group, never, ready};

// 14
#[test]
fn a_leader_that_is_held_unpolled_stalls_nobody() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(follower.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
    assert_eq!(answer(leader.poll()).value, 7);
}

// 14
#[test]
fn dropping_the_leader_keeps_the_flight_for_followers() {
    for started in [false, true] {
        let (stage, group) = (Stage::new(), group());
        let (mut job, work) = Job::new();
        let mut leader = Hand::new(group.call("k", work));
        let mut follower = Hand::new(group.call("k", never));
        assert!(stage.poll(&mut leader).is_pending());
        assert!(stage.poll(&mut follower).is_pending());
        if started {
            stage.run();
        }
        drop(leader);
        assert_eq!(counts(&group), [1, 1, 1]);
        job.land(7);
        stage.run();
        let answer = answer(follower.poll());
        assert_eq!(
            (answer.value, answer.role, answer.callers),
            (7, Role::Follower, 2)
        );
        assert_eq!(job.seen()[0], 1);
    }
}

// 14
#[test]
fn dropping_a_follower_keeps_the_flight_for_the_others() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut leaver = Hand::new(group.call("k", never));
    let mut stayer = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut leaver).is_pending());
    assert!(stage.poll(&mut stayer).is_pending());
    drop(leaver);
    // Takes the place that was given back, and must not be mistaken for the one that left.
    let mut newcomer = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut newcomer).is_pending());
    job.land(7);
    stage.run();
    for call in [&mut stayer, &mut newcomer] {
        assert_eq!(call.wakes(), 1);
        assert_eq!(answer(call.poll()).callers, 4);
    }
    assert_eq!(answer(leader.poll()).callers, 4);
}

// 14: work and futures of callers meet only in the table.
#[test]
fn the_work_is_neither_called_nor_polled_by_a_caller() {
    let (stage, group) = (Stage::new(), group());
    let (job, work) = Job::new();
    let mut call = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut call).is_pending());
    assert!(stage.poll(&mut call).is_pending());
    assert_eq!(job.seen(), [0, 0, 0]);
    stage.run();
    assert_eq!(job.seen(), [1, 1, 0]);
}

// 15
#[test]
fn the_last_caller_to_leave_cancels_the_flight() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    stage.run();
    assert_eq!(job.seen(), [1, 1, 0]);
    drop(leader);
    assert_eq!(counts(&group), [1, 1, 1]);
    drop(follower);
    // The key is free at once. The work is still there, so the flight still counts.
    assert_eq!(counts(&group), [1, 0, 0]);
    assert_eq!(job.seen(), [1, 1, 0]);

    // What would have ended it comes too late: it is dropped, not polled.
    job.land(7);
    stage.run();
    assert_eq!(job.seen(), [1, 1, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 15
#[test]
fn a_flight_that_is_left_before_its_task_runs_never_calls_its_work() {
    let (stage, group) = (Stage::new(), group());
    let (job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    drop(leader);
    assert_eq!(counts(&group), [1, 0, 0]);
    stage.run();
    assert_eq!(job.seen(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 15
#[test]
fn the_last_caller_to_leave_a_superseded_flight_cancels_that_one_alone() {
    let (stage, group) = (Stage::new(), group());
    let (old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    assert!(stage.poll(&mut old).is_pending());
    stage.run();
    group.forget(&"k");
    let mut new = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut new).is_pending());
    drop(old);
    stage.run();
    assert_eq!(old_job.seen(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 1]);
    new_job.land(2);
    stage.run();
    assert_eq!(answer(new.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 15
#[test]
fn leaving_a_flight_that_has_landed_changes_nothing() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut old).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    old_job.land(1);
    stage.run();
    let mut new = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut new).is_pending());
    drop(old);
    assert_eq!(counts(&group), [1, 1, 1]);
    assert_eq!(answer(follower.poll()).callers, 2);
    new_job.land(2);
    stage.run();
    assert_eq!(answer(new.poll()).value, 2);
}

// 16
#[test]
fn a_newcomer_to_a_cancelled_flight_opens_its_own() {
    let (stage, group) = (Stage::new(), group());
    let (old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    assert!(stage.poll(&mut old).is_pending());
    stage.run();
    drop(old);
    // The cancelled work is not dropped yet.
    let mut new = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut new).is_pending());
    assert_eq!(old_job.seen(), [1, 1, 0]);
    assert_eq!(counts(&group), [2, 1, 1]);
    stage.run();
    assert_eq!(old_job.seen(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 1]);
    new_job.land(2);
    stage.run();
    let answer = answer(new.poll());
    assert_eq!(
        (answer.value, answer.role, answer.callers),
        (2, Role::Leader, 1)
    );
}

// 7, 15: an execution counts until its future is dropped, however that happens.
#[test]
fn a_flight_counts_as_alive_while_its_work_is_dropped() {
    for (started, left) in [(false, false), (true, false), (false, true), (true, true)] {
        let (stage, group) = (Stage::new(), group());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watch = Watch {
            group: group.clone(),
            seen: Arc::clone(&seen),
        };
        let work = move |_flight: FlightId| async move {
            let _watch = watch;
            std::future::pending().await
        };
        let mut call = Hand::new(group.call("k", work));
        assert!(stage.poll(&mut call).is_pending());
        if started {
            stage.run();
        }
        if left {
            drop(call);
            stage.run();
        } else {
            drop(stage);
        }
        assert_eq!(*seen.lock().unwrap(), [1]);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

/// Notes how many flights are alive when it is dropped.
struct Watch {
    group: single_flight::Group<&'static str, u32>,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut seen = self.seen.lock().expect("no test panics under this lock");
        seen.push(self.group.flights());
    }
}

// 14, 15: the doc section of `Call`, point by point.
#[test]
fn cancel_safety_of_call() {
    let (stage, group) = (Stage::new(), group());
    // Before the first poll nothing has happened, and nothing does.
    drop(group.call("k", never));
    assert_eq!(counts(&group), [0, 0, 0]);
    // After it, the flight goes on for its other callers.
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    drop(leader);
    job.land(7);
    stage.run();
    assert_eq!(answer(follower.poll()).value, 7);
    // When the last one leaves, it is cancelled.
    let (job, work) = Job::new();
    let mut only = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut only).is_pending());
    drop(only);
    assert_eq!(group.entries(), 0);
    stage.run();
    assert_eq!(job.seen(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 23: the doc section of `Group::drain`, point by point.
#[test]
fn cancel_safety_of_drain() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut call = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut call).is_pending());
    // Dropped before its first poll, it never started.
    drop(group.drain(std::future::ready(())));
    let mut other = Hand::new(group.call("other", endless));
    assert!(stage.poll(&mut other).is_pending());
    drop(other);
    stage.run();
    // Dropped after it, it has cancelled nothing, and the group stays closed.
    let mut drain = Hand::new(group.drain(std::future::pending()));
    assert!(drain.poll().is_pending());
    drop(drain);
    assert_eq!(counts(&group), [1, 1, 1]);
    let mut late = Hand::new(group.call("late", never));
    assert_eq!(error(stage.poll(&mut late)), Error::Draining);
    // It can be called again.
    let mut drain = Hand::new(group.drain(std::future::pending()));
    assert!(drain.poll().is_pending());
    job.land(7);
    stage.run();
    assert_eq!(drain.wakes(), 1);
    assert_eq!(ready(drain.poll()), 0);
    assert_eq!(answer(call.poll()).value, 7);
}
