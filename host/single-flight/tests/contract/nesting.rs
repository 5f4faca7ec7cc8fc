//! Flights whose work calls for other flights.

use futures_util::future::{BoxFuture, join};
use single_flight::{CallOutput, Error, FlightId, Group, Policy};

use crate::harness::{Executor, ManualFuture, counts, error, output, ready};

/// The outcome of a nested call.
type NestedOutcome = Result<u32, Error>;
type NestingGroup = Group<char, NestedOutcome>;

fn group() -> NestingGroup {
    Group::new(Policy::default())
}

/// Work that calls `group` for `key` with `next` as the work.
fn calling<F>(
    group: &NestingGroup,
    key: char,
    next: F,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, NestedOutcome> + Send + 'static
where
    F: FnOnce(FlightId) -> BoxFuture<'static, NestedOutcome> + Send + 'static,
{
    let group = group.clone();
    move |_flight| Box::pin(async move { group.call(key, next).await?.value })
}

fn value(
    value: u32,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, NestedOutcome> + Send + 'static {
    move |_flight| Box::pin(async move { Ok(value) })
}

/// Work that calls `group` for `key`, and returns `fallback` if that would close a cycle.
fn calling_or(
    group: &NestingGroup,
    key: char,
    fallback: u32,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, NestedOutcome> + Send + 'static {
    let work = calling(group, key, value(9));
    move |flight| {
        Box::pin(async move {
            match work(flight).await {
                Err(Error::WouldDeadlock) => Ok(fallback),
                other => other,
            }
        })
    }
}

fn outcome(output: CallOutput<NestedOutcome>) -> NestedOutcome {
    output.value
}

// contract 18
#[test]
fn a_flight_that_calls_for_itself_gets_would_deadlock() {
    let (executor, group) = (Executor::new(), group());
    let mut call = ManualFuture::new(group.call('k', calling(&group, 'k', value(1))));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(outcome(output(call.poll())), Err(Error::WouldDeadlock));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 18
#[test]
fn a_flight_that_calls_for_one_that_waits_for_it_gets_would_deadlock() {
    let (executor, group) = (Executor::new(), group());
    let third = calling(&group, '1', value(1));
    let second = calling(&group, '3', third);
    let first = calling(&group, '2', second);
    let mut call = ManualFuture::new(group.call('1', first));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(outcome(output(call.poll())), Err(Error::WouldDeadlock));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 18: one gets the error and the other its value.
#[test]
fn of_two_flights_that_call_for_each_other_one_gets_would_deadlock() {
    let (executor, group) = (Executor::new(), group());
    let mut one = ManualFuture::new(group.call('1', calling_or(&group, '2', 1)));
    let mut two = ManualFuture::new(group.call('2', calling_or(&group, '1', 2)));
    assert!(executor.poll(&mut one).is_pending());
    assert!(executor.poll(&mut two).is_pending());
    executor.run();
    // The first to run waits for the second, whose call is then refused.
    assert_eq!(outcome(output(one.poll())), Ok(2));
    assert_eq!(outcome(output(two.poll())), Ok(2));
}

// contract 18: the wait graph is shared by all groups.
#[test]
fn a_cycle_through_two_groups_is_refused() {
    let (executor, group, other) = (Executor::new(), group(), group());
    let back = calling(&group, 'k', value(1));
    let there = calling(&other, 'k', back);
    let mut call = ManualFuture::new(group.call('k', there));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(outcome(output(call.poll())), Err(Error::WouldDeadlock));
}

// contract 18: a fresh call waits for a new flight, which waits for none until it calls itself.
#[test]
fn a_flight_may_make_a_fresh_call_for_its_own_key() {
    for (next_calls, reported) in [(None, Ok(1)), (Some('o'), Err(Error::WouldDeadlock))] {
        let (executor, group) = (Executor::new(), group());
        let next = match next_calls {
            None => Box::new(value(1)) as Box<dyn FnOnce(FlightId) -> _ + Send>,
            Some(key) => Box::new(calling(&group, key, value(2))),
        };
        let calls_fresh = {
            let group = group.clone();
            move |_flight| -> BoxFuture<'static, NestedOutcome> {
                Box::pin(async move { group.call_fresh('k', next).await?.value })
            }
        };
        let mut call = ManualFuture::new(group.call('k', calling(&group, 'o', calls_fresh)));
        assert!(executor.poll(&mut call).is_pending());
        executor.run();
        assert_eq!(outcome(output(call.poll())), reported);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// contract 18
#[test]
fn flights_that_wait_for_each_other_without_a_cycle_get_their_values() {
    let (executor, group) = (Executor::new(), group());
    let calls_twice = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, NestedOutcome> {
            Box::pin(async move {
                let (one, two) = join(group.call('b', value(1)), group.call('b', value(2))).await;
                let again = group.call('b', value(3)).await;
                Ok(one?.value? + two?.value? + again?.value?)
            })
        }
    };
    let (go, gone) = tokio::sync::oneshot::channel();
    let slow = move |_flight| -> BoxFuture<'static, NestedOutcome> {
        Box::pin(async move { Ok(gone.await.expect("the test lets it continue")) })
    };
    let mut base = ManualFuture::new(group.call('b', slow));
    let mut left = ManualFuture::new(group.call('l', calling(&group, 'b', value(5))));
    let mut top = ManualFuture::new(group.call('t', calls_twice));
    assert!(executor.poll(&mut base).is_pending());
    assert!(executor.poll(&mut left).is_pending());
    assert!(executor.poll(&mut top).is_pending());
    executor.run();
    assert_eq!(counts(&group), [3, 6, 3]);
    go.send(4).expect("the work waits for it");
    executor.run();
    assert_eq!(outcome(output(left.poll())), Ok(4));
    // Twice the value of the open flight, and once that of its own.
    assert_eq!(outcome(output(top.poll())), Ok(4 + 4 + 3));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 18: a wait ends with its call.
#[test]
fn a_flight_that_has_dropped_its_call_may_be_waited_for() {
    let (executor, group) = (Executor::new(), group());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gives_up = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, NestedOutcome> {
            Box::pin(async move {
                let mut nested = ManualFuture::new(group.call('o', calling(&group, 'k', value(1))));
                assert!(nested.poll().is_pending());
                drop(nested);
                gone.await.expect("the test lets it continue");
                Ok(2)
            })
        }
    };
    let mut call = ManualFuture::new(group.call('k', gives_up));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    let mut other = ManualFuture::new(group.call('o', calling(&group, 'k', value(3))));
    assert!(executor.poll(&mut other).is_pending());
    executor.run();
    assert!(other.poll().is_pending());
    go.send(()).expect("the work waits for it");
    executor.run();
    assert_eq!(outcome(output(other.poll())), Ok(2));
    assert_eq!(outcome(output(call.poll())), Ok(2));
}

// contract 18: a task that the work spawns is not the flight's own task. The cycle is not detected, and the
// test ends it by a drain.
#[test]
fn a_task_spawned_inside_the_work_is_not_covered() {
    let (executor, group) = (Executor::new(), group());
    let spawns = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, NestedOutcome> {
            Box::pin(async move {
                let inner = tokio::spawn(async move { group.call('k', value(1)).await });
                let reported = inner.await.expect("the task does not panic");
                reported.map(|output| output.callers as u32)
            })
        }
    };
    let mut call = ManualFuture::new(group.call('k', spawns));
    assert!(executor.poll(&mut call).is_pending());
    executor.run();
    assert_eq!(counts(&group), [1, 2, 1]);
    assert!(call.poll().is_pending());
    assert_eq!(ready(ManualFuture::new(group.drain(async {})).poll()), 1);
    assert!(matches!(error(call.poll()), Error::Cancelled { .. }));
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}
