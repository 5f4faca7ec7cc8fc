//! Flights whose work asks for flights: point 18.

use futures_util::future::{BoxFuture, join};
use single_flight::{CallOutput, Error, FlightId, Group, Policy};

use crate::hands::{Hand, Stage, answer, counts, error, ready};

/// What a nested call came to.
type Nested = Result<u32, Error>;
type Circle = Group<char, Nested>;

fn group() -> Circle {
    Group::new(Policy::default())
}

/// Work that asks `group` for `key`, whose own work is `next`.
fn asking<F>(
    group: &Circle,
    key: char,
    next: F,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, Nested> + Send + 'static
where
    F: FnOnce(FlightId) -> BoxFuture<'static, Nested> + Send + 'static,
{
    let group = group.clone();
    move |_flight| Box::pin(async move { group.call(key, next).await?.value })
}

fn value(value: u32) -> impl FnOnce(FlightId) -> BoxFuture<'static, Nested> + Send + 'static {
    move |_flight| Box::pin(async move { Ok(value) })
}

/// Work that asks `group` for `key`, and is content with `fallback` if that would be a circle.
fn asking_or(
    group: &Circle,
    key: char,
    fallback: u32,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, Nested> + Send + 'static {
    let work = asking(group, key, value(9));
    move |flight| {
        Box::pin(async move {
            match work(flight).await {
                Err(Error::WouldDeadlock) => Ok(fallback),
                other => other,
            }
        })
    }
}

fn outcome(answer: CallOutput<Nested>) -> Nested {
    answer.value
}

// 18
#[test]
fn a_flight_that_asks_for_itself_is_told() {
    let (stage, group) = (Stage::new(), group());
    let mut call = Hand::new(group.call('k', asking(&group, 'k', value(1))));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(outcome(answer(call.poll())), Err(Error::WouldDeadlock));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 18
#[test]
fn a_flight_that_asks_for_one_that_waits_for_it_is_told() {
    let (stage, group) = (Stage::new(), group());
    let third = asking(&group, '1', value(1));
    let second = asking(&group, '3', third);
    let first = asking(&group, '2', second);
    let mut call = Hand::new(group.call('1', first));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(outcome(answer(call.poll())), Err(Error::WouldDeadlock));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 18: of two that ask for each other, one is told and the other gets its answer.
#[test]
fn of_two_flights_that_ask_for_each_other_one_is_told() {
    let (stage, group) = (Stage::new(), group());
    let mut one = Hand::new(group.call('1', asking_or(&group, '2', 1)));
    let mut two = Hand::new(group.call('2', asking_or(&group, '1', 2)));
    assert!(stage.poll(&mut one).is_pending());
    assert!(stage.poll(&mut two).is_pending());
    stage.run();
    // The first to run waits for the second, which then asks in vain.
    assert_eq!(outcome(answer(one.poll())), Ok(2));
    assert_eq!(outcome(answer(two.poll())), Ok(2));
}

// 18: seen across groups, because it goes by the identity of flights.
#[test]
fn a_circle_through_two_groups_is_seen() {
    let (stage, group, other) = (Stage::new(), group(), group());
    let back = asking(&group, 'k', value(1));
    let there = asking(&other, 'k', back);
    let mut call = Hand::new(group.call('k', there));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(outcome(answer(call.poll())), Err(Error::WouldDeadlock));
}

// 18: it waits for a flight that is new, which waits for nobody. What that one asks for is another matter.
#[test]
fn a_flight_that_calls_itself_anew_gets_an_answer_unless_that_one_waits_for_it() {
    for (next_asks, told) in [(None, Ok(1)), (Some('o'), Err(Error::WouldDeadlock))] {
        let (stage, group) = (Stage::new(), group());
        let next = match next_asks {
            None => Box::new(value(1)) as Box<dyn FnOnce(FlightId) -> _ + Send>,
            Some(key) => Box::new(asking(&group, key, value(2))),
        };
        let calls_anew = {
            let group = group.clone();
            move |_flight| -> BoxFuture<'static, Nested> {
                Box::pin(async move { group.call_fresh('k', next).await?.value })
            }
        };
        let mut call = Hand::new(group.call('k', asking(&group, 'o', calls_anew)));
        assert!(stage.poll(&mut call).is_pending());
        stage.run();
        assert_eq!(outcome(answer(call.poll())), told);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// 18: what is no circle is not one.
#[test]
fn flights_that_wait_for_one_another_in_no_circle_get_their_answers() {
    let (stage, group) = (Stage::new(), group());
    let asks_twice = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, Nested> {
            Box::pin(async move {
                let (one, two) = join(group.call('b', value(1)), group.call('b', value(2))).await;
                let again = group.call('b', value(3)).await;
                Ok(one?.value? + two?.value? + again?.value?)
            })
        }
    };
    let (go, gone) = tokio::sync::oneshot::channel();
    let slow = move |_flight| -> BoxFuture<'static, Nested> {
        Box::pin(async move { Ok(gone.await.expect("the test lets it go on")) })
    };
    let mut base = Hand::new(group.call('b', slow));
    let mut left = Hand::new(group.call('l', asking(&group, 'b', value(5))));
    let mut top = Hand::new(group.call('t', asks_twice));
    assert!(stage.poll(&mut base).is_pending());
    assert!(stage.poll(&mut left).is_pending());
    assert!(stage.poll(&mut top).is_pending());
    stage.run();
    assert_eq!(counts(&group), [3, 6, 3]);
    go.send(4).expect("the work waits for it");
    stage.run();
    assert_eq!(outcome(answer(left.poll())), Ok(4));
    // Two of the flight that was open, and one of its own.
    assert_eq!(outcome(answer(top.poll())), Ok(4 + 4 + 3));
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 18: a wait that is over, or was given up, is no wait.
#[test]
fn a_flight_that_gave_up_waiting_may_be_waited_for() {
    let (stage, group) = (Stage::new(), group());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gives_up = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, Nested> {
            Box::pin(async move {
                let mut nested = Hand::new(group.call('o', asking(&group, 'k', value(1))));
                assert!(nested.poll().is_pending());
                drop(nested);
                gone.await.expect("the test lets it go on");
                Ok(2)
            })
        }
    };
    let mut call = Hand::new(group.call('k', gives_up));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    let mut other = Hand::new(group.call('o', asking(&group, 'k', value(3))));
    assert!(stage.poll(&mut other).is_pending());
    stage.run();
    assert!(other.poll().is_pending());
    go.send(()).expect("the work waits for it");
    stage.run();
    assert_eq!(outcome(answer(other.poll())), Ok(2));
    assert_eq!(outcome(answer(call.poll())), Ok(2));
}

// 18: a task that the work spawns is not the flight's own, and nothing is said to it. The other flight
// is cancelled here, or both would wait for ever.
#[test]
fn a_task_spawned_inside_the_work_is_not_covered() {
    let (stage, group) = (Stage::new(), group());
    let spawns = {
        let group = group.clone();
        move |_flight| -> BoxFuture<'static, Nested> {
            Box::pin(async move {
                let inner = tokio::spawn(async move { group.call('k', value(1)).await });
                let told = inner.await.expect("the task does not panic");
                told.map(|answer| answer.callers as u32)
            })
        }
    };
    let mut call = Hand::new(group.call('k', spawns));
    assert!(stage.poll(&mut call).is_pending());
    stage.run();
    assert_eq!(counts(&group), [1, 2, 1]);
    assert!(call.poll().is_pending());
    assert_eq!(ready(Hand::new(group.drain(async {})).poll()), 1);
    assert!(matches!(error(call.poll()), Error::Cancelled { .. }));
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);
}
