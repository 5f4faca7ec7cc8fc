//! `Group::visit`.

use std::time::Duration;

use single_flight::{FlightSnapshot, Group, Policy};

use crate::harness::{
    Executor, Job, ManualClock, ManualFuture, counts, endless, group, never, output,
};

fn shown(group: &Group<&'static str, u32>) -> Vec<(&'static str, FlightSnapshot)> {
    let mut shown = Vec::new();
    group.visit(|key, flight| shown.push((*key, *flight)));
    shown
}

#[test]
fn a_visit_shows_open_superseded_and_stopping_flights_in_the_order_of_ids() {
    let (executor, clock) = (Executor::new(), ManualClock::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(30)),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, clock.source());
    assert_eq!(shown(&group), []);
    let (mut job, work) = Job::new();
    let mut superseded = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut superseded).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    clock.advance(10);
    let mut open = ManualFuture::new(group.call_fresh("k", endless));
    assert!(executor.poll(&mut open).is_pending());
    clock.advance(10);
    let mut stopping = ManualFuture::new(group.call("other", endless));
    assert!(executor.poll(&mut stopping).is_pending());
    drop(stopping);

    let seen = shown(&group);
    assert!(seen.is_sorted_by_key(|(_, flight)| flight.flight));
    let mut states: Vec<_> = seen
        .iter()
        .map(
            |(
                key,
                FlightSnapshot {
                    callers,
                    age,
                    joinable,
                    ..
                },
            )| {
                let age = age.expect("the group has a join window").as_millis();
                (*key, *callers, age, *joinable)
            },
        )
        .collect();
    states.sort();
    let expected = [
        ("k", 1, 10, true),
        ("k", 2, 20, false),
        ("other", 0, 0, false),
    ];
    assert_eq!(states, expected);

    // The open flight has outlived its window, and no call has closed it yet.
    clock.advance(21);
    let open_still = |(_, flight): &(_, FlightSnapshot)| flight.joinable;
    assert!(!shown(&group).iter().any(open_still));
    assert_eq!(group.entries(), 1);

    // Flights that have ended are not shown.
    job.land(1);
    executor.run();
    assert!(output(superseded.poll()).shared());
    let left = shown(&group).into_iter();
    let left: Vec<_> = left.map(|(key, flight)| (key, flight.callers)).collect();
    assert_eq!(left, [("k", 1)]);
}

#[test]
fn a_group_without_a_use_for_its_clock_shows_no_ages() {
    let (executor, group) = (Executor::new(), group());
    let mut call = ManualFuture::new(group.call("k", endless));
    assert!(executor.poll(&mut call).is_pending());
    let [(key, flight)] = shown(&group)[..] else {
        panic!("expected one flight");
    };
    let FlightSnapshot {
        callers,
        age,
        joinable,
        ..
    } = flight;
    assert_eq!((key, callers, age, joinable), ("k", 1, None, true));
}

// contract 21: if a lock were held while the closure runs, the same thread would take it again and hang.
#[test]
fn the_visit_closure_may_use_the_group() {
    let (executor, group) = (Executor::new(), group());
    let call = |key| ManualFuture::new(group.call(key, endless));
    let mut calls = ["a", "b", "c"].map(call);
    for call in &mut calls {
        assert!(executor.poll(call).is_pending());
    }
    let mut calls = Some(calls);
    let (mut opened, mut seen) = (Vec::new(), Vec::new());
    group.visit(|key, flight| {
        seen.push((flight.callers, flight.joinable));
        assert_eq!(shown(&group).len(), 2 + seen.len());
        let mut fresh = ManualFuture::new(group.call_fresh(*key, endless));
        assert!(executor.poll(&mut fresh).is_pending());
        opened.push(fresh);
        assert!(group.forget(key));
        // All leave: the flights that are visited next are stopping by then.
        drop(calls.take());
    });
    assert_eq!(seen, [(1, true), (0, false), (0, false)]);
    assert_eq!(counts(&group), [6, 3, 0]);
    drop(opened);
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}
