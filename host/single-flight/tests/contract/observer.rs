//! The observer of a group.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use single_flight::{EndedFlight, FlightEnd, Group, Policy};

use crate::harness::{Executor, Job, ManualFuture, counts, never, output, ready};

// contract 8, 13: each flight is reported once, with the outcome and the count its callers get.
#[test]
fn the_observer_gets_each_ended_flight_once() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let reported = Arc::clone(&reported);
        move |key: &&'static str, ended: &EndedFlight<'_, u32>| {
            let end = match ended.end {
                FlightEnd::Landed(value) => format!("landed {value}"),
                FlightEnd::Panicked(message) => format!("panicked {message}"),
                FlightEnd::Cancelled => "cancelled".to_owned(),
            };
            reported.lock().unwrap().push((*key, end, ended.callers));
        }
    };
    let group = Group::with_observer(Policy::default(), Instant::now, observer);
    let executor = Executor::new();
    let open = |key, callers: usize| {
        let (job, work) = Job::new();
        let mut leader = ManualFuture::new(group.call(key, work));
        assert!(executor.poll(&mut leader).is_pending());
        for _ in 1..callers {
            assert!(
                executor
                    .poll(&mut ManualFuture::new(group.call(key, never)))
                    .is_pending()
            );
        }
        (job, leader)
    };
    let (mut landing, _landing) = open("lands", 3);
    let (mut panicking, _panicking) = open("panics", 1);
    let (_left, leaver) = open("is left", 2);
    let (mut superseded, _superseded) = open("is forgotten", 1);
    let (_gone, _stays) = open("loses its runtime", 1);
    landing.land(7);
    executor.run();
    panicking.panic("out of items");
    executor.run();
    drop(leaver);
    executor.run();
    group.forget(&"is forgotten");
    superseded.land(8);
    executor.run();
    drop(executor);
    let expected = [
        ("lands", "landed 7", 3),
        ("panics", "panicked out of items", 1),
        ("is left", "cancelled", 2),
        ("is forgotten", "landed 8", 1),
        ("loses its runtime", "cancelled", 1),
    ];
    let expected = expected.map(|(key, end, callers)| (key, end.to_owned(), callers));
    assert_eq!(*reported.lock().unwrap(), expected);
}

// contract 8: the outcome is settled before the observer is called.
#[test]
fn an_observer_that_panics_changes_nothing() {
    let executor = Executor::new();
    let group = Group::with_observer(Policy::default(), Instant::now, |_: &&str, _| {
        panic!("the observer panics")
    });
    let mut leader = ManualFuture::new(group.call("k", |_flight| async { 7 }));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    executor.run();
    assert_eq!(output(leader.poll()).value, 7);
    assert_eq!(output(follower.poll()).value, 7);
    assert_eq!(counts(&group), [0, 0, 0]);
    let mut drain = ManualFuture::new(group.drain(std::future::pending()));
    assert_eq!(ready(drain.poll()), 0);
}
