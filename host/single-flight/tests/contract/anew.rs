//! Callers that take no flight opened before they asked: `call_fresh`, by points 1, 2, 5 to 7, 15, 19 and 23.

use std::future::{pending, ready as at_once};
use std::time::Duration;

use single_flight::{Error, Group, Policy, Role};

use crate::hands::{
    Hand, Job, Stage, Time, answer, counts, endless, error, group, never, panic_of, ready,
};

// 1, 2, 5
#[test]
fn a_call_anew_leads_a_flight_that_later_callers_join_and_leaves_the_old_one_to_those_on_it() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut before = [
        Hand::new(group.call("k", old_work)),
        Hand::new(group.call("k", Job::new().1)),
    ];
    for caller in &mut before {
        assert!(stage.poll(caller).is_pending());
    }
    let mut anew = Hand::new(group.call_fresh("k", new_work));
    let mut after = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut anew).is_pending());
    assert!(stage.poll(&mut after).is_pending());
    assert_eq!(counts(&group), [2, 4, 1]);

    old_job.land(1);
    stage.run();
    let [leader, follower] = before.each_mut().map(|caller| answer(caller.poll()));
    assert_eq!((leader.value, leader.role), (1, Role::Leader));
    assert_eq!((follower.value, follower.callers), (1, 2));
    assert!(anew.poll().is_pending() && after.poll().is_pending());
    assert_eq!(counts(&group), [1, 2, 1]);
    new_job.land(2);
    stage.run();
    let (anew, after) = (answer(anew.poll()), answer(after.poll()));
    assert_eq!((anew.value, anew.role, anew.callers), (2, Role::Leader, 2));
    assert_eq!((after.value, after.role), (2, Role::Follower));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 1, 4: in whichever order they land.
#[test]
fn of_calls_anew_in_a_row_each_leads_a_flight_and_the_last_is_open() {
    let (stage, group) = (Stage::new(), group());
    let (mut jobs, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (job, work) = Job::new();
        let mut call = Hand::new(group.call_fresh("k", work));
        assert!(stage.poll(&mut call).is_pending());
        jobs.push(job);
        calls.push(call);
    }
    assert_eq!(counts(&group), [3, 3, 1]);
    for (value, landed) in [1, 0].into_iter().enumerate() {
        jobs[landed].land(value as u32);
        stage.run();
        let answer = answer(calls[landed].poll());
        assert_eq!((answer.value, answer.role), (value as u32, Role::Leader));
    }
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut follower).is_pending());
    jobs[2].land(7);
    stage.run();
    assert_eq!(answer(calls[2].poll()).callers, 2);
    assert_eq!(answer(follower.poll()).value, 7);
}

// 2, 5
#[test]
fn it_is_the_first_poll_of_a_call_anew_that_supersedes() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    drop(group.call_fresh("k", never));
    let mut made_first = Hand::new(group.call_fresh("k", endless));
    let mut polled_first = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut polled_first).is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
    assert!(stage.poll(&mut made_first).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    // Later polls supersede nothing.
    assert!(group.forget(&"k"));
    let mut newest = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut newest).is_pending());
    assert!(made_first.poll().is_pending());
    assert!(group.forget(&"k"));
    job.land(1);
    stage.run();
    assert_eq!(answer(polled_first.poll()).value, 1);
}

// 6
#[test]
fn a_call_anew_starts_a_join_window_of_its_own() {
    let (stage, time) = (Stage::new(), Time::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(10)),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, time.clock());
    let mut callers = [(); 2].map(|()| Hand::new(group.call("k", endless)));
    let mut anew = Hand::new(group.call_fresh("k", endless));
    let [old, late] = &mut callers;
    assert!(stage.poll(old).is_pending());
    time.pass(10);
    assert!(stage.poll(&mut anew).is_pending());
    time.pass(10);
    assert!(stage.poll(late).is_pending());
    assert_eq!(counts(&group), [2, 3, 1]);
}

/// Asks anew for a key that has an open flight, under a policy that leaves no room for another. The call
/// must be refused, and the flight open to joiners still.
fn refused_with_an_open_flight(policy: Policy, superseded: usize) -> Error {
    let (stage, group) = (Stage::new(), Group::new(policy));
    let mut earlier: Vec<_> = (0..superseded)
        .map(|_| Hand::new(group.call_fresh("k", endless)))
        .collect();
    for call in &mut earlier {
        assert!(stage.poll(call).is_pending());
    }
    let (mut job, work) = Job::new();
    let mut open = Hand::new(group.call_fresh("k", work));
    assert!(stage.poll(&mut open).is_pending());
    let before = counts(&group);

    let mut anew = Hand::new(group.call_fresh("k", never));
    let refused = error(stage.poll(&mut anew));
    assert_eq!(counts(&group), before);
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut follower).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(open.poll()).callers, 2);
    assert_eq!(answer(follower.poll()).value, 7);

    // Its execution has made room.
    let mut anew = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut anew).is_pending());
    refused
}

// 7
#[test]
fn a_call_anew_past_the_bound_on_executions_is_refused_and_leaves_the_open_flight_open() {
    for limit in [2, 3] {
        let policy = Policy {
            max_executions_per_key: Some(limit),
            ..Policy::default()
        };
        let refused = refused_with_an_open_flight(policy, limit - 1);
        assert_eq!(refused, Error::TooManyExecutions { limit });
    }
}

// 19
#[test]
fn a_call_anew_past_the_limit_of_flights_is_refused_and_leaves_the_open_flight_open() {
    for limit in [1, 2] {
        let policy = Policy {
            max_flights: limit,
            ..Policy::default()
        };
        let refused = refused_with_an_open_flight(policy, limit - 1);
        assert_eq!(refused, Error::TooManyFlights { limit });
    }
}

// 7: a stopping execution is one of them until its work is dropped.
#[test]
fn a_call_anew_counts_superseded_and_stopping_executions_where_none_is_open() {
    let stage = Stage::new();
    let group: Group<&str, u32> = Group::new(Policy {
        max_executions_per_key: Some(2),
        ..Policy::default()
    });
    let mut callers = [(); 2].map(|()| Hand::new(group.call_fresh("k", endless)));
    for caller in &mut callers {
        assert!(stage.poll(caller).is_pending());
    }
    let [superseded, stopping] = callers;
    drop(stopping);
    assert_eq!(counts(&group), [2, 1, 0]);
    let mut refused = Hand::new(group.call_fresh("k", never));
    let limit = Error::TooManyExecutions { limit: 2 };
    assert_eq!(error(stage.poll(&mut refused)), limit);
    stage.run();
    let mut anew = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut anew).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    drop(superseded);
}

// 19
#[test]
fn a_call_anew_is_let_onto_its_flight_however_full_the_open_one_is() {
    let stage = Stage::new();
    let limited = |max_callers_per_flight| {
        Group::<&str, u32>::new(Policy {
            max_callers_per_flight,
            ..Policy::default()
        })
    };
    let group = limited(1);
    let mut full = Hand::new(group.call("k", endless));
    let mut anew = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut full).is_pending());
    assert!(stage.poll(&mut anew).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    let nobody = limited(0);
    let mut anew = Hand::new(nobody.call_fresh("k", never));
    let refused = Error::TooManyCallers { limit: 0 };
    assert_eq!(error(stage.poll(&mut anew)), refused);
}

// 23
#[test]
fn a_call_anew_while_draining_is_refused_and_leaves_the_open_flight_open() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut open = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut open).is_pending());
    let mut drain = Hand::new(group.drain(pending()));
    assert!(drain.poll().is_pending());
    for key in ["k", "other"] {
        let mut anew = Hand::new(group.call_fresh(key, never));
        assert_eq!(error(stage.poll(&mut anew)), Error::Draining);
    }
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut follower).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(open.poll()).callers, 2);
    assert_eq!(answer(follower.poll()).value, 7);
    assert_eq!(ready(drain.poll()), 0);
}

// 9, 23
#[test]
fn a_drain_at_its_deadline_cancels_what_was_superseded_and_what_superseded_it() {
    let (stage, group) = (Stage::new(), group());
    let mut old = Hand::new(group.call("k", endless));
    let mut anew = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut old).is_pending());
    assert!(stage.poll(&mut anew).is_pending());
    assert_eq!(ready(Hand::new(group.drain(at_once(()))).poll()), 2);
    assert!(matches!(error(old.poll()), Error::Cancelled { .. }));
    assert!(matches!(error(anew.poll()), Error::Cancelled { .. }));
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 15: the cancel safety of `call_fresh`.
#[test]
fn dropping_a_call_anew_cancels_its_flight_and_not_the_one_it_superseded() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    let mut anew = Hand::new(group.call_fresh("k", new_work));
    assert!(stage.poll(&mut old).is_pending());
    assert!(stage.poll(&mut anew).is_pending());
    stage.run();
    drop(anew);
    assert_eq!(counts(&group), [2, 1, 0]);
    stage.run();
    assert_eq!(new_job.seen(), [1, 1, 1]);
    // What it superseded is not opened again.
    let mut after = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut after).is_pending());
    assert_eq!(counts(&group), [2, 2, 1]);
    old_job.land(1);
    stage.run();
    assert_eq!(answer(old.poll()).callers, 1);
}

// 4, 15
#[test]
fn a_superseded_flight_that_everybody_leaves_is_stopped_and_its_successor_is_not() {
    let (stage, group) = (Stage::new(), group());
    let (old_job, old_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    let mut anew = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut old).is_pending());
    assert!(stage.poll(&mut anew).is_pending());
    drop(old);
    stage.run();
    assert_eq!(old_job.seen(), [0, 0, 1]);
    assert!(anew.poll().is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
}

// 20
#[test]
fn a_call_anew_without_a_runtime_panics_and_leaves_the_group_usable() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut old = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut old).is_pending());
    panic_of(|| Hand::new(group.call_fresh("k", never)).poll());
    assert_eq!(counts(&group), [1, 1, 0]);
    job.land(1);
    stage.run();
    assert_eq!(answer(old.poll()).value, 1);
    assert_eq!(counts(&group), [0, 0, 0]);
}
