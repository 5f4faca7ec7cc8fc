//! The questions, put to a peer. Each makes the scene that its column is about, and finds the word for
//! what is seen. There is no word for what no peer has done so far: that fails, and shows it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use bench_table::contestants::{Coalescer, Failure, Outcome};

use crate::heap;
use crate::scene::{KEY, LEADER, Scene};
use crate::seen::{Question, Seen};
use crate::stage::Receipt::{Failed, Left, Unwound, Value, Waits};
use crate::stage::{Attention, Caller};
use crate::works::{Ending, Fate};

impl Question {
    /// Puts the question to a new `C`.
    pub(crate) fn ask<C: Coalescer>(self) -> Seen {
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

fn leader_dropped<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    scene.leave(LEADER);
    let executions = scene.end_all(Ending::Land);
    match (executions, &scene.receipts()[..]) {
        (1, [Left, Value(0), Value(0)]) => Seen::FirstAnswer,
        (2, [Left, Value(1), Value(1)]) => Seen::StartedOver,
        other => no_word_for(&other),
    }
}

fn leader_held<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    scene.attend(LEADER, Attention::Held);
    let executions = scene.end_all(Ending::Land);
    let held = scene.receipts();
    // It was the holding, and nothing else: let go, everyone has the answer.
    scene.attend(LEADER, Attention::Polled);
    assert_eq!(scene.receipts(), [Value(0); 3]);
    match (executions, &held[..]) {
        (1, [Waits, Value(0), Value(0)]) => Seen::Answered,
        (1, [Waits, Waits, Waits]) => Seen::FollowersHang,
        other => no_word_for(&other),
    }
}

fn panic<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    let executions = scene.end_all(Ending::Panic);
    let receipts = scene.receipts();
    let (told, unwound) = ([Failed(Failure::Panicked); 3], [Unwound; 3]);
    match (executions, scene.key_works()) {
        (1, true) if receipts == told => Seen::ToldOfPanic,
        (1, true) if receipts == unwound => Seen::PanicsInAll,
        (3, true) if receipts == unwound => Seen::PanicsAndReruns,
        other => no_word_for(&(other, receipts)),
    }
}

fn error<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    let executions = scene.end_all(Ending::Fail);
    let receipts = scene.receipts();
    assert_eq!(receipts, [Failed(Failure::Work); 3]);
    match (executions, scene.key_works()) {
        (1, true) => Seen::OneError,
        (3, true) => Seen::Reruns,
        other => no_word_for(&other),
    }
}

fn forget<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    if !scene.coalescer.forget(KEY) {
        return Seen::NotOffered;
    }
    scene.call();
    assert_eq!(scene.works.begun(), 2, "a newcomer does not join");
    scene.end(0, Ending::Land);
    assert_eq!(scene.receipts(), [Value(0), Value(0), Value(0), Waits]);
    // One that comes after the old execution has landed, while the new one is under way.
    scene.call();
    let executions = scene.end_all(Ending::Land);
    match (executions, &scene.receipts()[3..]) {
        (2, [Value(1), Value(1)]) => Seen::Apart,
        (3, [Value(1), Value(2)]) => Seen::Evicted,
        other => no_word_for(&other),
    }
}

fn all_gone<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::under_way();
    (0..3).for_each(|caller| scene.leave(caller));
    let left = scene.works.fates();
    // What anything still polls ends now.
    scene.end_all(Ending::Land);
    match (&left[..], &scene.works.fates()[..]) {
        // More than one where a follower took over before it left as well.
        (left, later) if left == later && left.iter().all(|fate| *fate == Fate::Stopped) => {
            if heap::keeps_abandoned::<C>() {
                Seen::StoppedWithRest
            } else {
                Seen::Stopped
            }
        }
        ([Fate::UnderWay], [Fate::Ended]) => Seen::RunsOn,
        ([Fate::UnderWay], [Fate::UnderWay]) => {
            scene.call();
            assert_eq!((scene.works.begun(), scene.receipts()[3]), (1, Value(0)));
            Seen::Abandoned
        }
        other => no_word_for(&other),
    }
}

fn own_key<C: Coalescer>() -> Seen {
    let mut scene = Scene::<C>::new();
    let told: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let (inner, works) = (Arc::clone(&scene.coalescer), Arc::clone(&scene.works));
    let circle = {
        let told = Arc::clone(&told);
        move || async move {
            let outcome = inner.call(KEY, || async { Err(Failure::Work) }).await;
            *told.lock().expect("nothing panics with it") = Some(outcome);
            works.work().await
        }
    };
    let outer = Arc::clone(&scene.coalescer);
    scene.enter(Caller::new(async move { outer.call(KEY, circle).await }));
    scene.end_all(Ending::Land);
    let told = told.lock().expect("nothing panics with it").take();
    match (told, &scene.receipts()[..]) {
        (Some(Err(Failure::Refused)), [Value(0)]) => Seen::ToldOfCircle,
        (None, [Waits]) => Seen::Hangs,
        other => no_word_for(&other),
    }
}

fn no_word_for(seen: &dyn Debug) -> Seen {
    panic!("no peer has done this before, it needs a word: {seen:?}")
}
