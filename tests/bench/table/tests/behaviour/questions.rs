//! The questions. Each sets up the scene of its column and returns an observation. Behaviour that no peer has
//! shown so far has no variant: the test fails and prints it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use bench_table::coalescer::{Coalescer, Failure, Outcome};

use crate::executions::{Ending, Fate};
use crate::executor::Receipt::{Failed, Left, Unwound, Value, Waits};
use crate::executor::{Caller, Polling};
use crate::heap;
use crate::observation::{Observation, Question};
use crate::scene::{KEY, LEADER, Scene};

impl Question {
    /// Observes a new `C`.
    pub(crate) fn observe<C: Coalescer>(self) -> Observation {
        match self {
            Self::LeaderDropped => leader_dropped::<C>(),
            Self::LeaderHeld => leader_held::<C>(),
            Self::Panic => panic::<C>(),
            Self::Error => error::<C>(),
            Self::Forget => forget::<C>(),
            Self::AllGone => all_gone::<C>(),
            Self::OwnKey => own_key::<C>(),
        }
    }
}

fn leader_dropped<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    scene.leave(LEADER);
    let executions = scene.end_all(Ending::Value);
    match (executions, &scene.receipts()[..]) {
        (1, [Left, Value(0), Value(0)]) => Observation::FirstAnswer,
        (2, [Left, Value(1), Value(1)]) => Observation::StartedOver,
        other => unknown(&other),
    }
}

fn leader_held<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    scene.set_polling(LEADER, Polling::Held);
    let executions = scene.end_all(Ending::Value);
    let held = scene.receipts();
    // Nothing else was the cause: polled again, all callers have the value.
    scene.set_polling(LEADER, Polling::Polled);
    assert_eq!(scene.receipts(), [Value(0); 3]);
    match (executions, &held[..]) {
        (1, [Waits, Value(0), Value(0)]) => Observation::FollowersAnswered,
        (1, [Waits, Waits, Waits]) => Observation::FollowersHang,
        other => unknown(&other),
    }
}

fn panic<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    let executions = scene.end_all(Ending::Panic);
    let receipts = scene.receipts();
    let (failed, unwound) = ([Failed(Failure::Panicked); 3], [Unwound; 3]);
    match (executions, scene.next_call_executes()) {
        (1, true) if receipts == failed => Observation::ErrorToAll,
        (1, true) if receipts == unwound => Observation::PanicsInAll,
        (3, true) if receipts == unwound => Observation::PanicsAndReruns,
        other => unknown(&(other, receipts)),
    }
}

fn error<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    let executions = scene.end_all(Ending::Error);
    let receipts = scene.receipts();
    assert_eq!(receipts, [Failed(Failure::Work); 3]);
    match (executions, scene.next_call_executes()) {
        (1, true) => Observation::OneError,
        (3, true) => Observation::Reruns,
        other => unknown(&other),
    }
}

fn forget<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    if !scene.coalescer.forget(KEY) {
        return Observation::NotOffered;
    }
    scene.call();
    assert_eq!(scene.executions.begun(), 2, "a later caller does not join");
    scene.end(0, Ending::Value);
    assert_eq!(scene.receipts(), [Value(0), Value(0), Value(0), Waits]);
    // One more, after the old execution has landed and while the new one is in flight.
    scene.call();
    let executions = scene.end_all(Ending::Value);
    match (executions, &scene.receipts()[3..]) {
        (2, [Value(1), Value(1)]) => Observation::Apart,
        (3, [Value(1), Value(2)]) => Observation::Evicted,
        other => unknown(&other),
    }
}

fn all_gone<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::in_flight();
    (0..3).for_each(|caller| scene.leave(caller));
    let left = scene.executions.fates();
    // An execution that is still polled ends now.
    scene.end_all(Ending::Value);
    match (&left[..], &scene.executions.fates()[..]) {
        // There is more than one if a follower took over before it was dropped too.
        (left, later) if left == later && left.iter().all(|fate| *fate == Fate::Stopped) => {
            if heap::keeps_abandoned::<C>() {
                Observation::StoppedEntryLeft
            } else {
                Observation::Stopped
            }
        }
        ([Fate::InFlight], [Fate::Ended]) => Observation::RunsOn,
        ([Fate::InFlight], [Fate::InFlight]) => {
            scene.call();
            assert_eq!(
                (scene.executions.begun(), scene.receipts()[3]),
                (1, Value(0))
            );
            Observation::Abandoned
        }
        other => unknown(&other),
    }
}

fn own_key<C: Coalescer>() -> Observation {
    let mut scene = Scene::<C>::new();
    let inner_outcome: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let (inner, executions) = (Arc::clone(&scene.coalescer), Arc::clone(&scene.executions));
    let cycle = {
        let inner_outcome = Arc::clone(&inner_outcome);
        move || async move {
            let outcome = inner.call(KEY, || async { Err(Failure::Work) }).await;
            *inner_outcome.lock().expect("nothing panics with it") = Some(outcome);
            executions.work().await
        }
    };
    let outer = Arc::clone(&scene.coalescer);
    scene.enter(Caller::new(async move { outer.call(KEY, cycle).await }));
    scene.end_all(Ending::Value);
    let inner_outcome = inner_outcome.lock().expect("nothing panics with it").take();
    match (inner_outcome, &scene.receipts()[..]) {
        (Some(Err(Failure::Refused)), [Value(0)]) => Observation::ErrorOnCycle,
        (None, [Waits]) => Observation::Hangs,
        other => unknown(&other),
    }
}

fn unknown(behaviour: &dyn Debug) -> Observation {
    panic!("expected behaviour that `Observation` has a variant for, got {behaviour:?}")
}
