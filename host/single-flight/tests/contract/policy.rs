//! The settings of a policy: join window, execution limit, abandoned flights, observe mode.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use single_flight::{Abandoned, Error, FlightEnd, FlightId, Group, Policy, Role, SharingMode};

use crate::harness::{
    Executor, Job, ManualClock, ManualFuture, counts, endless, error, never, output, ready,
};

fn group_with_window(clock: &ManualClock, milliseconds: u64) -> Group<&'static str, u32> {
    let policy = Policy {
        join_window: Some(Duration::from_millis(milliseconds)),
        ..Policy::default()
    };
    Group::with_clock(policy, clock.source())
}

// contract 6
#[test]
fn a_flight_older_than_the_join_window_is_not_joined_and_lands_for_its_callers() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let group = group_with_window(&clock, 10);
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", old_work));
    let mut in_time = ManualFuture::new(group.call("k", never));
    let mut late = ManualFuture::new(group.call("k", new_work));
    let mut with_the_late = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    clock.advance(10);
    assert!(executor.poll(&mut in_time).is_pending());
    clock.advance(1);
    assert!(executor.poll(&mut late).is_pending());
    assert!(executor.poll(&mut with_the_late).is_pending());
    assert_eq!(counts(&group), [2, 4, 1]);

    old_job.land(1);
    executor.run();
    assert_eq!(output(leader.poll()).callers, 2);
    assert_eq!(output(in_time.poll()).value, 1);
    assert!(late.poll().is_pending());
    new_job.land(2);
    executor.run();
    let late = output(late.poll());
    assert_eq!((late.value, late.role), (2, Role::Leader));
    assert_eq!(output(with_the_late.poll()).role, Role::Follower);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 6: the window applies to the first poll only.
#[test]
fn a_caller_that_joined_in_time_stays_however_old_the_flight_becomes() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let group = group_with_window(&clock, 10);
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    clock.advance(1_000);
    assert!(follower.poll().is_pending());
    job.land(1);
    executor.run();
    assert_eq!(output(follower.poll()).value, 1);
}

// contract 6
#[test]
fn with_a_join_window_of_zero_calls_at_the_same_instant_share() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let group = group_with_window(&clock, 0);
    let mut callers = [(); 3].map(|()| ManualFuture::new(group.call("k", endless)));
    let [leader, same_instant, later] = &mut callers;
    assert!(executor.poll(leader).is_pending());
    assert!(executor.poll(same_instant).is_pending());
    clock.advance(1);
    assert!(executor.poll(later).is_pending());
    assert_eq!(counts(&group), [2, 3, 1]);
}

// contract 4, 6, 15
#[test]
fn leaving_a_flight_that_outlived_its_window_cancels_that_one_alone() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let group = group_with_window(&clock, 10);
    let (old_job, old_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    let mut new = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut old).is_pending());
    executor.run();
    clock.advance(11);
    assert!(executor.poll(&mut new).is_pending());
    drop(old);
    executor.run();
    assert_eq!(old_job.counts(), [1, 1, 1]);
    assert!(new.poll().is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
}

fn group_with_executions(limit: usize) -> Group<&'static str, u32> {
    Group::new(Policy {
        max_executions_per_key: Some(limit),
        ..Policy::default()
    })
}

// contract 7
#[test]
fn superseded_and_stopping_executions_count_until_their_work_is_dropped() {
    let (executor, group) = (Executor::new(), group_with_executions(3));
    let (mut superseded_job, superseded_work) = Job::new();
    let mut superseded = ManualFuture::new(group.call("k", superseded_work));
    let mut stopping = ManualFuture::new(group.call("k", endless));
    let mut open = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut superseded).is_pending());
    assert!(group.forget(&"k"));
    assert!(executor.poll(&mut stopping).is_pending());
    drop(stopping);
    assert!(executor.poll(&mut open).is_pending());
    assert_eq!(counts(&group), [3, 2, 1]);

    // The open flight can still be joined. A fourth execution is refused.
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut follower).is_pending());
    assert!(group.forget(&"k"));
    let refused = Error::TooManyExecutions { limit: 3 };
    let mut fourth = ManualFuture::new(group.call("k", never));
    assert_eq!(error(executor.poll(&mut fourth)), refused);
    // An execution of another key is not.
    let mut other = ManualFuture::new(group.call("other", endless));
    assert!(executor.poll(&mut other).is_pending());

    // Work that was stopped counts until it is dropped, and so does work that has landed.
    executor.run();
    let mut fourth = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut fourth).is_pending());
    assert!(group.forget(&"k"));
    superseded_job.land(1);
    let mut fifth = ManualFuture::new(group.call("k", endless));
    assert_eq!(error(executor.poll(&mut fifth)), refused);
    executor.run();
    let mut fifth = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut fifth).is_pending());
}

// contract 7
#[test]
fn a_limit_of_executions_below_two_means_two() {
    for limit in [0, 1, 2] {
        let (executor, group) = (Executor::new(), group_with_executions(limit));
        let mut callers = [(); 3].map(|()| ManualFuture::new(group.call("k", endless)));
        let [one, two, three] = &mut callers;
        assert!(executor.poll(one).is_pending());
        group.forget(&"k");
        assert!(executor.poll(two).is_pending());
        group.forget(&"k");
        let refused = Error::TooManyExecutions { limit: 2 };
        assert_eq!(error(executor.poll(three)), refused);
        assert_eq!(counts(&group), [2, 2, 0]);
    }
}

// contract 6, 7: a flight that is too old to be joined counts as an execution.
#[test]
fn a_caller_refused_an_execution_does_not_join_an_older_flight() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(10)),
        max_executions_per_key: Some(2),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, clock.source());
    let mut callers = [(); 3].map(|()| ManualFuture::new(group.call("k", endless)));
    for caller in &mut callers[..2] {
        assert!(executor.poll(caller).is_pending());
        clock.advance(11);
    }
    let refused = Error::TooManyExecutions { limit: 2 };
    assert_eq!(error(executor.poll(&mut callers[2])), refused);
    assert_eq!(group.callers(), 2);
}

fn finishing() -> Group<&'static str, u32> {
    Group::new(Policy {
        abandoned: Abandoned::Finish,
        ..Policy::default()
    })
}

// contract 15
#[test]
fn with_finish_an_abandoned_flight_lands_without_callers() {
    let (executor, group) = (Executor::new(), finishing());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    drop(leader);
    executor.run();
    assert_eq!(counts(&group), [1, 0, 1]);
    assert_eq!(job.counts(), [1, 1, 0]);
    job.land(1);
    executor.run();
    assert_eq!(job.counts(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 1, 13, 15
#[test]
fn with_finish_an_abandoned_flight_can_be_joined() {
    let (executor, group) = (Executor::new(), finishing());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut newcomer = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    drop(leader);
    assert!(executor.poll(&mut newcomer).is_pending());
    job.land(1);
    executor.run();
    let newcomer = output(newcomer.poll());
    assert_eq!((newcomer.role, newcomer.callers), (Role::Follower, 2));
}

// contract 15, 23
#[test]
fn with_finish_a_drain_cancels_abandoned_flights() {
    let (executor, group) = (Executor::new(), finishing());
    let (job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut leader).is_pending());
    drop(leader);
    let mut drain = ManualFuture::new(group.drain(std::future::ready(())));
    assert_eq!(ready(drain.poll()), 1);
    executor.run();
    assert_eq!(job.counts(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// The reports to an observer: the flight, its value, its callers, and the flight that it would have joined.
type Reports = Arc<Mutex<Vec<(FlightId, u32, usize, Option<FlightId>)>>>;

fn observing(policy: Policy) -> (Group<&'static str, u32>, Reports) {
    let reported = Reports::default();
    let observer = {
        let reported = Arc::clone(&reported);
        move |_: &&str, ended: &single_flight::EndedFlight<'_, u32>| {
            let value = match ended.end {
                FlightEnd::Landed(value) => *value,
                _ => 0,
            };
            let seen = (ended.flight, value, ended.callers, ended.would_have_joined);
            reported.lock().expect("no test panics with it").push(seen);
        }
    };
    let policy = Policy {
        sharing: SharingMode::Observe,
        ..policy
    };
    let group = Group::with_observer(policy, ManualClock::new().source(), observer);
    (group, reported)
}

// contract 25
#[test]
fn in_observe_mode_calls_share_nothing_and_report_what_they_would_have_joined() {
    let (executor, (group, reported)) = (Executor::new(), observing(Policy::default()));
    let (mut jobs, mut calls) = (Vec::new(), Vec::new());
    for key in ["k", "k", "other", "k"] {
        let (job, work) = Job::new();
        let mut call = ManualFuture::new(group.call(key, work));
        assert!(executor.poll(&mut call).is_pending());
        jobs.push(job);
        calls.push(call);
    }
    assert_eq!(counts(&group), [4, 4, 0]);
    executor.run();
    // The first flight ends before a fourth call for its key, which therefore would not have joined it.
    jobs[0].land(10);
    executor.run();
    let (mut job, work) = Job::new();
    let mut fourth = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut fourth).is_pending());
    for (value, job) in (11..).zip(&mut jobs[1..]) {
        job.land(value);
    }
    job.land(14);
    executor.run();
    // No flight of the key is running when the last call is made.
    let (mut job, work) = Job::new();
    let mut last = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut last).is_pending());
    job.land(15);
    executor.run();

    calls.extend([fourth, last]);
    let outputs = calls.iter_mut().map(|call| output(call.poll()));
    let outputs: Vec<_> = outputs.collect();
    let flights: Vec<_> = outputs.iter().map(|output| output.flight).collect();
    for (value, output) in (10..).zip(&outputs) {
        let seen = (output.value, output.role, output.callers);
        assert_eq!(seen, (value, Role::Leader, 1));
    }
    let first = Some(flights[0]);
    let would_have_joined = [None, first, None, first, None, None];
    let mut reported = reported.lock().unwrap().clone();
    reported.sort_by_key(|(_, value, ..)| *value);
    let expected: Vec<_> = (0..6)
        .map(|call| (flights[call], 10 + call as u32, 1, would_have_joined[call]))
        .collect();
    assert_eq!(reported, expected);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 25: a fresh call would have joined none, and later calls would have joined it.
#[test]
fn in_observe_mode_later_calls_would_have_joined_a_fresh_call() {
    let (executor, (group, reported)) = (Executor::new(), observing(Policy::default()));
    let work = |value| move |_flight| async move { value };
    let call = |value| group.call("k", work(value));
    let fresh = |value| group.call_fresh("k", work(value));
    let calls = [call(0), call(1), fresh(2), call(3), fresh(4), call(5)];
    let mut calls = calls.map(ManualFuture::new);
    for call in &mut calls {
        assert!(executor.poll(call).is_pending());
    }
    assert_eq!(counts(&group), [6, 6, 0]);
    executor.run();
    let flights = calls.each_mut().map(|call| {
        let output = output(call.poll());
        assert_eq!((output.role, output.callers), (Role::Leader, 1));
        output.flight
    });
    let mut reported = reported.lock().unwrap().clone();
    reported.sort_by_key(|(_, value, ..)| *value);
    let would_have_joined = [None, Some(0), None, Some(2), None, Some(4)];
    let expected: Vec<_> = (0..6)
        .map(|call| {
            let joined = would_have_joined[call].map(|joined: usize| flights[joined]);
            (flights[call], call as u32, 1, joined)
        })
        .collect();
    assert_eq!(reported, expected);
}

// contract 25: points 7 and 19 do not apply.
#[test]
fn in_observe_mode_no_limit_refuses_a_call() {
    let refuse_all = Policy {
        max_flights: 0,
        max_callers_per_flight: 0,
        max_executions_per_key: Some(2),
        ..Policy::default()
    };
    let (executor, (group, _)) = (Executor::new(), observing(refuse_all));
    let mut calls = [(); 5].map(|()| ManualFuture::new(group.call("k", |_flight| async { 7 })));
    for call in &mut calls {
        assert!(executor.poll(call).is_pending());
    }
    assert_eq!(counts(&group), [5, 5, 0]);
    executor.run();
    for call in &mut calls {
        assert_eq!(output(call.poll()).value, 7);
    }
}

// contract 15, 23, 25
#[test]
fn in_observe_mode_flights_are_cancelled_and_drained_like_others() {
    let (executor, (group, reported)) = (Executor::new(), observing(Policy::default()));
    let (left_job, left_work) = Job::new();
    let mut left = ManualFuture::new(group.call("k", left_work));
    let mut drained = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut left).is_pending());
    assert!(executor.poll(&mut drained).is_pending());
    assert!(!group.forget(&"k"));
    executor.run();
    drop(left);
    executor.run();
    assert_eq!(left_job.counts(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 0]);
    assert_eq!(ready(ManualFuture::new(group.drain(async {})).poll()), 1);
    let cancelled = error(drained.poll());
    assert!(matches!(cancelled, Error::Cancelled { .. }));
    let mut late = ManualFuture::new(group.call("k", never));
    assert_eq!(error(executor.poll(&mut late)), Error::Draining);
    executor.run();
    assert_eq!(reported.lock().unwrap().len(), 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}
