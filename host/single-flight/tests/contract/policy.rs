//! What a policy adds: points 6, 7, 25 and the second half of 15.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use single_flight::{Abandoned, Error, FlightEnd, FlightId, Group, Policy, Role, SharingMode};

use crate::hands::{Hand, Job, Stage, Time, answer, counts, endless, error, never, ready};

fn group_with_window(time: &Time, milliseconds: u64) -> Group<&'static str, u32> {
    let policy = Policy {
        join_window: Some(Duration::from_millis(milliseconds)),
        ..Policy::default()
    };
    Group::with_clock(policy, time.clock())
}

// 6
#[test]
fn a_flight_older_than_the_join_window_is_not_joined_and_lands_for_those_on_it() {
    let (stage, time) = (Stage::new(), Time::new());
    let group = group_with_window(&time, 10);
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut leader = Hand::new(group.call("k", old_work));
    let mut in_time = Hand::new(group.call("k", never));
    let mut late = Hand::new(group.call("k", new_work));
    let mut with_the_late = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    time.pass(10);
    assert!(stage.poll(&mut in_time).is_pending());
    time.pass(1);
    assert!(stage.poll(&mut late).is_pending());
    assert!(stage.poll(&mut with_the_late).is_pending());
    assert_eq!(counts(&group), [2, 4, 1]);

    old_job.land(1);
    stage.run();
    assert_eq!(answer(leader.poll()).callers, 2);
    assert_eq!(answer(in_time.poll()).value, 1);
    assert!(late.poll().is_pending());
    new_job.land(2);
    stage.run();
    let late = answer(late.poll());
    assert_eq!((late.value, late.role), (2, Role::Leader));
    assert_eq!(answer(with_the_late.poll()).role, Role::Follower);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 6: the age that counts is that of the first poll.
#[test]
fn a_caller_that_joined_in_time_stays_however_old_the_flight_becomes() {
    let (stage, time) = (Stage::new(), Time::new());
    let group = group_with_window(&time, 10);
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    time.pass(1_000);
    assert!(follower.poll().is_pending());
    job.land(1);
    stage.run();
    assert_eq!(answer(follower.poll()).value, 1);
}

// 6
#[test]
fn a_join_window_of_zero_shares_within_one_instant() {
    let (stage, time) = (Stage::new(), Time::new());
    let group = group_with_window(&time, 0);
    let mut callers = [(); 3].map(|()| Hand::new(group.call("k", endless)));
    let [leader, same_instant, later] = &mut callers;
    assert!(stage.poll(leader).is_pending());
    assert!(stage.poll(same_instant).is_pending());
    time.pass(1);
    assert!(stage.poll(later).is_pending());
    assert_eq!(counts(&group), [2, 3, 1]);
}

// 4, 6, 15
#[test]
fn leaving_a_flight_that_outlived_its_window_cancels_that_one_alone() {
    let (stage, time) = (Stage::new(), Time::new());
    let group = group_with_window(&time, 10);
    let (old_job, old_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    let mut new = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut old).is_pending());
    stage.run();
    time.pass(11);
    assert!(stage.poll(&mut new).is_pending());
    drop(old);
    stage.run();
    assert_eq!(old_job.seen(), [1, 1, 1]);
    assert!(new.poll().is_pending());
    assert_eq!(counts(&group), [1, 1, 1]);
}

fn group_with_executions(limit: usize) -> Group<&'static str, u32> {
    Group::new(Policy {
        max_executions_per_key: Some(limit),
        ..Policy::default()
    })
}

// 7
#[test]
fn superseded_and_stopping_executions_count_until_their_work_is_dropped() {
    let (stage, group) = (Stage::new(), group_with_executions(3));
    let (mut superseded_job, superseded_work) = Job::new();
    let mut superseded = Hand::new(group.call("k", superseded_work));
    let mut stopping = Hand::new(group.call("k", endless));
    let mut open = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut superseded).is_pending());
    assert!(group.forget(&"k"));
    assert!(stage.poll(&mut stopping).is_pending());
    drop(stopping);
    assert!(stage.poll(&mut open).is_pending());
    assert_eq!(counts(&group), [3, 2, 1]);

    // The open flight can be joined still. It is a fourth execution that is refused.
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut follower).is_pending());
    assert!(group.forget(&"k"));
    let refused = Error::TooManyExecutions { limit: 3 };
    let mut fourth = Hand::new(group.call("k", never));
    assert_eq!(error(stage.poll(&mut fourth)), refused);
    // That of another key is not.
    let mut other = Hand::new(group.call("other", endless));
    assert!(stage.poll(&mut other).is_pending());

    // Stopped work makes room once it is dropped, and so does work that has landed.
    stage.run();
    let mut fourth = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut fourth).is_pending());
    assert!(group.forget(&"k"));
    superseded_job.land(1);
    let mut fifth = Hand::new(group.call("k", endless));
    assert_eq!(error(stage.poll(&mut fifth)), refused);
    stage.run();
    let mut fifth = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut fifth).is_pending());
}

// 7
#[test]
fn a_bound_on_executions_below_two_is_two() {
    for limit in [0, 1, 2] {
        let (stage, group) = (Stage::new(), group_with_executions(limit));
        let mut callers = [(); 3].map(|()| Hand::new(group.call("k", endless)));
        let [one, two, three] = &mut callers;
        assert!(stage.poll(one).is_pending());
        group.forget(&"k");
        assert!(stage.poll(two).is_pending());
        group.forget(&"k");
        let refused = Error::TooManyExecutions { limit: 2 };
        assert_eq!(error(stage.poll(three)), refused);
        assert_eq!(counts(&group), [2, 2, 0]);
    }
}

// 6, 7: the flight that is too old to be joined is one of the executions.
#[test]
fn a_caller_refused_an_execution_does_not_join_an_older_flight() {
    let (stage, time) = (Stage::new(), Time::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(10)),
        max_executions_per_key: Some(2),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, time.clock());
    let mut callers = [(); 3].map(|()| Hand::new(group.call("k", endless)));
    for caller in &mut callers[..2] {
        assert!(stage.poll(caller).is_pending());
        time.pass(11);
    }
    let refused = Error::TooManyExecutions { limit: 2 };
    assert_eq!(error(stage.poll(&mut callers[2])), refused);
    assert_eq!(group.callers(), 2);
}

fn finishing() -> Group<&'static str, u32> {
    Group::new(Policy {
        abandoned: Abandoned::Finish,
        ..Policy::default()
    })
}

// 15
#[test]
fn an_abandoned_flight_that_is_to_finish_lands_for_nobody() {
    let (stage, group) = (Stage::new(), finishing());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    drop(leader);
    stage.run();
    assert_eq!(counts(&group), [1, 0, 1]);
    assert_eq!(job.seen(), [1, 1, 0]);
    job.land(1);
    stage.run();
    assert_eq!(job.seen(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 1, 13, 15
#[test]
fn an_abandoned_flight_that_is_to_finish_can_be_joined() {
    let (stage, group) = (Stage::new(), finishing());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut newcomer = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    drop(leader);
    assert!(stage.poll(&mut newcomer).is_pending());
    job.land(1);
    stage.run();
    let newcomer = answer(newcomer.poll());
    assert_eq!((newcomer.role, newcomer.callers), (Role::Follower, 2));
}

// 15, 23
#[test]
fn a_drain_cancels_abandoned_flights_that_are_to_finish() {
    let (stage, group) = (Stage::new(), finishing());
    let (job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut leader).is_pending());
    drop(leader);
    let mut drain = Hand::new(group.drain(std::future::ready(())));
    assert_eq!(ready(drain.poll()), 1);
    stage.run();
    assert_eq!(job.seen(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// What an observer was told: the flight, its value, its callers, and whom it would have joined.
type Told = Arc<Mutex<Vec<(FlightId, u32, usize, Option<FlightId>)>>>;

fn observing(policy: Policy) -> (Group<&'static str, u32>, Told) {
    let told = Told::default();
    let observer = {
        let told = Arc::clone(&told);
        move |_: &&str, ended: &single_flight::EndedFlight<'_, u32>| {
            let value = match ended.end {
                FlightEnd::Landed(value) => *value,
                _ => 0,
            };
            let seen = (ended.flight, value, ended.callers, ended.would_have_joined);
            told.lock().expect("no test panics with it").push(seen);
        }
    };
    let policy = Policy {
        sharing: SharingMode::Observe,
        ..policy
    };
    let group = Group::with_observer(policy, Time::new().clock(), observer);
    (group, told)
}

// 25
#[test]
fn observed_calls_share_nothing_and_say_what_they_would_have_shared() {
    let (stage, (group, told)) = (Stage::new(), observing(Policy::default()));
    let (mut jobs, mut calls) = (Vec::new(), Vec::new());
    for key in ["k", "k", "other", "k"] {
        let (job, work) = Job::new();
        let mut call = Hand::new(group.call(key, work));
        assert!(stage.poll(&mut call).is_pending());
        jobs.push(job);
        calls.push(call);
    }
    assert_eq!(counts(&group), [4, 4, 0]);
    stage.run();
    // The first of them is over before a fourth of its key comes, which would not have found it any more.
    jobs[0].land(10);
    stage.run();
    let (mut job, work) = Job::new();
    let mut fourth = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut fourth).is_pending());
    for (value, job) in (11..).zip(&mut jobs[1..]) {
        job.land(value);
    }
    job.land(14);
    stage.run();
    // None of its key is running when the last one comes.
    let (mut job, work) = Job::new();
    let mut last = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut last).is_pending());
    job.land(15);
    stage.run();

    calls.extend([fourth, last]);
    let answers = calls.iter_mut().map(|call| answer(call.poll()));
    let answers: Vec<_> = answers.collect();
    let flights: Vec<_> = answers.iter().map(|answer| answer.flight).collect();
    for (value, answer) in (10..).zip(&answers) {
        let seen = (answer.value, answer.role, answer.callers);
        assert_eq!(seen, (value, Role::Leader, 1));
    }
    let first = Some(flights[0]);
    let would_have_joined = [None, first, None, first, None, None];
    let mut told = told.lock().unwrap().clone();
    told.sort_by_key(|(_, value, ..)| *value);
    let expected: Vec<_> = (0..6)
        .map(|call| (flights[call], 10 + call as u32, 1, would_have_joined[call]))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 25: one called anew would have joined none, and those that come later would have joined it.
#[test]
fn an_observed_call_anew_is_what_later_calls_would_have_joined() {
    let (stage, (group, told)) = (Stage::new(), observing(Policy::default()));
    let work = |value| move |_flight| async move { value };
    let call = |value| group.call("k", work(value));
    let anew = |value| group.call_fresh("k", work(value));
    let calls = [call(0), call(1), anew(2), call(3), anew(4), call(5)];
    let mut calls = calls.map(Hand::new);
    for call in &mut calls {
        assert!(stage.poll(call).is_pending());
    }
    assert_eq!(counts(&group), [6, 6, 0]);
    stage.run();
    let flights = calls.each_mut().map(|call| {
        let answer = answer(call.poll());
        assert_eq!((answer.role, answer.callers), (Role::Leader, 1));
        answer.flight
    });
    let mut told = told.lock().unwrap().clone();
    told.sort_by_key(|(_, value, ..)| *value);
    let would_have_joined = [None, Some(0), None, Some(2), None, Some(4)];
    let expected: Vec<_> = (0..6)
        .map(|call| {
            let joined = would_have_joined[call].map(|joined: usize| flights[joined]);
            (flights[call], call as u32, 1, joined)
        })
        .collect();
    assert_eq!(told, expected);
}

// 25: points 7 and 19 do not apply.
#[test]
fn no_limit_refuses_an_observed_call() {
    let refuse_all = Policy {
        max_flights: 0,
        max_callers_per_flight: 0,
        max_executions_per_key: Some(2),
        ..Policy::default()
    };
    let (stage, (group, _)) = (Stage::new(), observing(refuse_all));
    let mut calls = [(); 5].map(|()| Hand::new(group.call("k", |_flight| async { 7 })));
    for call in &mut calls {
        assert!(stage.poll(call).is_pending());
    }
    assert_eq!(counts(&group), [5, 5, 0]);
    stage.run();
    for call in &mut calls {
        assert_eq!(answer(call.poll()).value, 7);
    }
}

// 15, 23, 25: what does apply.
#[test]
fn observed_flights_are_left_forgotten_and_drained_like_others() {
    let (stage, (group, told)) = (Stage::new(), observing(Policy::default()));
    let (left_job, left_work) = Job::new();
    let mut left = Hand::new(group.call("k", left_work));
    let mut drained = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut left).is_pending());
    assert!(stage.poll(&mut drained).is_pending());
    assert!(!group.forget(&"k"));
    stage.run();
    drop(left);
    stage.run();
    assert_eq!(left_job.seen(), [1, 1, 1]);
    assert_eq!(counts(&group), [1, 1, 0]);
    assert_eq!(ready(Hand::new(group.drain(async {})).poll()), 1);
    let cancelled = error(drained.poll());
    assert!(matches!(cancelled, Error::Cancelled { .. }));
    let mut late = Hand::new(group.call("k", never));
    assert_eq!(error(stage.poll(&mut late)), Error::Draining);
    stage.run();
    assert_eq!(told.lock().unwrap().len(), 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}
