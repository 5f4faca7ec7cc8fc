//! `call_fresh`: calls that join no flight and supersede the open one.

use std::future::{pending, ready as at_once};
use std::time::Duration;

use single_flight::{Error, Group, Policy, Role};

use crate::harness::{
    Executor, Job, ManualClock, ManualFuture, counts, endless, error, group, never, output,
    panic_of, ready,
};

// contract 1, 2, 5
#[test]
fn a_fresh_call_opens_a_flight_for_later_callers_and_the_old_one_lands_for_its_own() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut before = [
        ManualFuture::new(group.call("k", old_work)),
        ManualFuture::new(group.call("k", Job::new().1)),
    ];
    for caller in &mut before {
        assert!(executor.poll(caller).is_pending());
    }
    let mut fresh = ManualFuture::new(group.call_fresh("k", new_work));
    let mut after = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut fresh).is_pending());
    assert!(executor.poll(&mut after).is_pending());
    assert_eq!(counts(&group), [2, 4, 1]);

    old_job.land(1);
    executor.run();
    let [leader, follower] = before.each_mut().map(|caller| output(caller.poll()));
    assert_eq!((leader.value, leader.role), (1, Role::Leader));
    assert_eq!((follower.value, follower.callers), (1, 2));
    assert!(fresh.poll().is_pending() && after.poll().is_pending());
    assert_eq!(counts(&group), [1, 2, 1]);
    new_job.land(2);
    executor.run();
    let (fresh, after) = (output(fresh.poll()), output(after.poll()));
    assert_eq!(
        (fresh.value, fresh.role, fresh.callers),
        (2, Role::Leader, 2)
    );
    assert_eq!((after.value, after.role), (2, Role::Follower));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 1, 4: in any order of landing.
#[test]
fn each_of_several_fresh_calls_leads_a_flight_and_the_last_is_open() {
    let (executor, group) = (Executor::new(), group());
    let (mut jobs, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (job, work) = Job::new();
        let mut call = ManualFuture::new(group.call_fresh("k", work));
        assert!(executor.poll(&mut call).is_pending());
        jobs.push(job);
        calls.push(call);
    }
    assert_eq!(counts(&group), [3, 3, 1]);
    for (value, landed) in [1, 0].into_iter().enumerate() {
        jobs[landed].land(value as u32);
        executor.run();
        let output = output(calls[landed].poll());
        assert_eq!((output.value, output.role), (value as u32, Role::Leader));
    }
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut follower).is_pending());
    jobs[2].land(7);
    executor.run();
    assert_eq!(output(calls[2].poll()).callers, 2);
    assert_eq!(output(follower.poll()).value, 7);
}

// contract 2, 5
#[test]
fn a_fresh_call_supersedes_at_its_first_poll() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    drop(group.call_fresh("k", never));
    let mut made_first = ManualFuture::new(group.call_fresh("k", endless));
    let mut polled_first = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut polled_first).is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
    assert!(executor.poll(&mut made_first).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    // Later polls supersede nothing.
    assert!(group.forget(&"k"));
    let mut newest = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut newest).is_pending());
    assert!(made_first.poll().is_pending());
    assert!(group.forget(&"k"));
    job.land(1);
    executor.run();
    assert_eq!(output(polled_first.poll()).value, 1);
}

// contract 6
#[test]
fn a_fresh_call_starts_a_new_join_window() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(10)),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, clock.source());
    let mut callers = [(); 2].map(|()| ManualFuture::new(group.call("k", endless)));
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    let [old, late] = &mut callers;
    assert!(executor.poll(old).is_pending());
    clock.advance(10);
    assert!(executor.poll(&mut fresh).is_pending());
    clock.advance(10);
    assert!(executor.poll(late).is_pending());
    assert_eq!(counts(&group), [2, 3, 1]);
}

/// Makes a fresh call for a key with an open flight, under a policy that allows no further flight. The call
/// must be refused and the flight must stay open.
fn refused_with_an_open_flight(policy: Policy, superseded: usize) -> Error {
    let (executor, group) = (Executor::new(), Group::new(policy));
    let mut earlier: Vec<_> = (0..superseded)
        .map(|_| ManualFuture::new(group.call_fresh("k", endless)))
        .collect();
    for call in &mut earlier {
        assert!(executor.poll(call).is_pending());
    }
    let (mut job, work) = Job::new();
    let mut open = ManualFuture::new(group.call_fresh("k", work));
    assert!(executor.poll(&mut open).is_pending());
    let before = counts(&group);

    let mut fresh = ManualFuture::new(group.call_fresh("k", never));
    let refused = error(executor.poll(&mut fresh));
    assert_eq!(counts(&group), before);
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut follower).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(open.poll()).callers, 2);
    assert_eq!(output(follower.poll()).value, 7);

    // Its execution has ended.
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut fresh).is_pending());
    refused
}

// contract 7
#[test]
fn a_fresh_call_past_the_limit_of_executions_is_refused_and_the_open_flight_stays_open() {
    for limit in [2, 3] {
        let policy = Policy {
            max_executions_per_key: Some(limit),
            ..Policy::default()
        };
        let refused = refused_with_an_open_flight(policy, limit - 1);
        assert_eq!(refused, Error::TooManyExecutions { limit });
    }
}

// contract 19
#[test]
fn a_fresh_call_past_the_limit_of_flights_is_refused_and_the_open_flight_stays_open() {
    for limit in [1, 2] {
        let policy = Policy {
            max_flights: limit,
            ..Policy::default()
        };
        let refused = refused_with_an_open_flight(policy, limit - 1);
        assert_eq!(refused, Error::TooManyFlights { limit });
    }
}

// contract 7: a stopping execution counts until its work is dropped.
#[test]
fn a_fresh_call_counts_superseded_and_stopping_executions_when_none_is_open() {
    let executor = Executor::new();
    let group: Group<&str, u32> = Group::new(Policy {
        max_executions_per_key: Some(2),
        ..Policy::default()
    });
    let mut callers = [(); 2].map(|()| ManualFuture::new(group.call_fresh("k", endless)));
    for caller in &mut callers {
        assert!(executor.poll(caller).is_pending());
    }
    let [superseded, stopping] = callers;
    drop(stopping);
    assert_eq!(counts(&group), [2, 1, 0]);
    let mut refused = ManualFuture::new(group.call_fresh("k", never));
    let limit = Error::TooManyExecutions { limit: 2 };
    assert_eq!(error(executor.poll(&mut refused)), limit);
    executor.run();
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut fresh).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    drop(superseded);
}

// contract 19
#[test]
fn a_fresh_call_is_not_refused_by_the_caller_limit_of_the_open_flight() {
    let executor = Executor::new();
    let limited = |max_callers_per_flight| {
        Group::<&str, u32>::new(Policy {
            max_callers_per_flight,
            ..Policy::default()
        })
    };
    let group = limited(1);
    let mut full = ManualFuture::new(group.call("k", endless));
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut full).is_pending());
    assert!(executor.poll(&mut fresh).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    let no_callers = limited(0);
    let mut fresh = ManualFuture::new(no_callers.call_fresh("k", never));
    let refused = Error::TooManyCallers { limit: 0 };
    assert_eq!(error(executor.poll(&mut fresh)), refused);
}

// contract 23
#[test]
fn a_fresh_call_while_draining_is_refused_and_the_open_flight_stays_open() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut open = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut open).is_pending());
    let mut drain = ManualFuture::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    for key in ["k", "other"] {
        let mut fresh = ManualFuture::new(group.call_fresh(key, never));
        assert_eq!(error(executor.poll(&mut fresh)), Error::Draining);
    }
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut follower).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(open.poll()).callers, 2);
    assert_eq!(output(follower.poll()).value, 7);
    assert_eq!(ready(drain.poll()), 0);
}

// contract 9, 23
#[test]
fn a_drain_at_its_deadline_cancels_a_superseded_flight_and_its_successor() {
    let (executor, group) = (Executor::new(), group());
    let mut old = ManualFuture::new(group.call("k", endless));
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut old).is_pending());
    assert!(executor.poll(&mut fresh).is_pending());
    assert_eq!(ready(ManualFuture::new(group.drain(at_once(()))).poll()), 2);
    assert!(matches!(error(old.poll()), Error::Cancelled { .. }));
    assert!(matches!(error(fresh.poll()), Error::Cancelled { .. }));
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 15: the "Cancel safety" section of `Group::call_fresh`.
#[test]
fn cancel_safety_of_call_fresh() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    let mut fresh = ManualFuture::new(group.call_fresh("k", new_work));
    assert!(executor.poll(&mut old).is_pending());
    assert!(executor.poll(&mut fresh).is_pending());
    executor.run();
    drop(fresh);
    assert_eq!(counts(&group), [2, 1, 0]);
    executor.run();
    assert_eq!(new_job.counts(), [1, 1, 1]);
    // The superseded flight does not become open again.
    let mut after = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut after).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    old_job.land(1);
    executor.run();
    assert_eq!(output(old.poll()).callers, 1);
}

// contract 4, 15
#[test]
fn a_superseded_flight_without_callers_is_stopped_and_its_successor_is_not() {
    let (executor, group) = (Executor::new(), group());
    let (old_job, old_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    let mut fresh = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut old).is_pending());
    assert!(executor.poll(&mut fresh).is_pending());
    drop(old);
    executor.run();
    assert_eq!(old_job.counts(), [0, 0, 1]);
    assert!(fresh.poll().is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
}

// contract 20
#[test]
fn a_fresh_call_without_a_runtime_panics_and_leaves_the_group_usable() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut old).is_pending());
    panic_of(|| ManualFuture::new(group.call_fresh("k", never)).poll());
    assert_eq!(counts(&group), [1, 1, 0]);
    job.land(1);
    executor.run();
    assert_eq!(output(old.poll()).value, 1);
    assert_eq!(counts(&group), [0, 0, 0]);
}
