//! What a visit shows of the flights under way, and point 21 of it.

use std::time::Duration;

use single_flight::{FlightSnapshot, Group, Policy};

use crate::hands::{Hand, Job, Stage, Time, answer, counts, endless, group, never};

fn shown(group: &Group<&'static str, u32>) -> Vec<(&'static str, FlightSnapshot)> {
    let mut shown = Vec::new();
    group.visit(|key, under_way| shown.push((*key, *under_way)));
    shown
}

#[test]
fn a_visit_shows_open_superseded_and_stopping_flights_in_the_order_of_ids() {
    let (stage, time) = (Stage::new(), Time::new());
    let policy = Policy {
        join_window: Some(Duration::from_millis(30)),
        ..Policy::default()
    };
    let group = Group::with_clock(policy, time.clock());
    assert_eq!(shown(&group), []);
    let (mut job, work) = Job::new();
    let mut superseded = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut superseded).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    time.pass(10);
    let mut open = Hand::new(group.call_fresh("k", endless));
    assert!(stage.poll(&mut open).is_pending());
    time.pass(10);
    let mut stopping = Hand::new(group.call("other", endless));
    assert!(stage.poll(&mut stopping).is_pending());
    drop(stopping);

    let seen = shown(&group);
    assert!(seen.is_sorted_by_key(|(_, under_way)| under_way.flight));
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
                let age = age.expect("the group has a use for its clock").as_millis();
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

    // One that nobody joins any more because of its age, before a call comes and closes it.
    time.pass(21);
    let open_still = |(_, under_way): &(_, FlightSnapshot)| under_way.joinable;
    assert!(!shown(&group).iter().any(open_still));
    assert_eq!(group.entries(), 1);

    // Those that are over are not shown.
    job.land(1);
    stage.run();
    assert!(answer(superseded.poll()).shared());
    let left = shown(&group).into_iter();
    let left: Vec<_> = left.map(|(key, flight)| (key, flight.callers)).collect();
    assert_eq!(left, [("k", 1)]);
}

#[test]
fn a_group_that_has_no_use_for_a_clock_shows_no_ages() {
    let (stage, group) = (Stage::new(), group());
    let mut call = Hand::new(group.call("k", endless));
    assert!(stage.poll(&mut call).is_pending());
    let [(key, under_way)] = shown(&group)[..] else {
        panic!("one flight is under way");
    };
    let FlightSnapshot {
        callers,
        age,
        joinable,
        ..
    } = under_way;
    assert_eq!((key, callers, age, joinable), ("k", 1, None, true));
}

// 21: a lock held while the closure runs would be taken again by the same thread, which would hang.
#[test]
fn a_visitor_may_use_the_group() {
    let (stage, group) = (Stage::new(), group());
    let call = |key| Hand::new(group.call(key, endless));
    let mut calls = ["a", "b", "c"].map(call);
    for call in &mut calls {
        assert!(stage.poll(call).is_pending());
    }
    let mut calls = Some(calls);
    let (mut opened, mut seen) = (Vec::new(), Vec::new());
    group.visit(|key, under_way| {
        seen.push((under_way.callers, under_way.joinable));
        assert_eq!(shown(&group).len(), 2 + seen.len());
        let mut anew = Hand::new(group.call_fresh(*key, endless));
        assert!(stage.poll(&mut anew).is_pending());
        opened.push(anew);
        assert!(group.forget(key));
        // All leave: the flights that are still to be shown are stopping by then.
        drop(calls.take());
    });
    assert_eq!(seen, [(1, true), (0, false), (0, false)]);
    assert_eq!(counts(&group), [6, 3, 0]);
    drop(opened);
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}
