//! The same contract on several threads: many orders, and assertions that hold in all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use single_flight::{Error, FlightId, Group, Policy, Role};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::harness::{ManualFuture, counts};

const CALLERS: usize = 4;
const ROUNDS: usize = if cfg!(miri) { 10 } else { 1_000 };

fn runtime() -> Runtime {
    let builder = &mut Builder::new_multi_thread();
    let runtime = builder.worker_threads(CALLERS).enable_time().build();
    runtime.expect("a runtime with a timer")
}

/// The output of `future`. A caller that is never woken fails its test instead of hanging it.
fn finish<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    const FAILSAFE: Duration = Duration::from_secs(60);
    let finished = runtime.block_on(async { timeout(FAILSAFE, future).await });
    finished.expect("every caller completes in time")
}

/// Whether an execution began while another of its key was running.
#[derive(Clone)]
struct Overlapped(bool);

/// One call, in ticks of a clock that all callers share.
struct TimedCall {
    at: usize,
    answered: usize,
    flight: FlightId,
    role: Role,
}

// contract 1, 2, 11, 20: executions of a key do not overlap, and no caller gets the result of a flight that
// had landed before the call.
#[test]
fn callers_on_many_threads_share_only_flights_that_have_not_landed() {
    let runtime = runtime();
    let group: Group<usize, Overlapped> = Group::new(Policy::default());
    let clock = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let executions = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let group = group.clone();
            let [clock, running, executions] = [&clock, &running, &executions].map(Arc::clone);
            runtime.spawn(async move {
                let mut calls = Vec::with_capacity(ROUNDS);
                for _ in 0..ROUNDS {
                    let [running, executions] = [&running, &executions].map(Arc::clone);
                    let work = move |_flight| async move {
                        executions.fetch_add(1, Ordering::SeqCst);
                        let overlapped = running.fetch_add(1, Ordering::SeqCst) > 0;
                        yield_now().await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        Overlapped(overlapped)
                    };
                    let at = clock.fetch_add(1, Ordering::SeqCst);
                    let output = group.call(0, work).await.unwrap();
                    let answered = clock.fetch_add(1, Ordering::SeqCst);
                    assert!(!output.value.0);
                    calls.push(TimedCall {
                        at,
                        answered,
                        flight: output.flight,
                        role: output.role,
                    });
                }
                calls
            })
        })
        .collect();
    let callers = finish(&runtime, join_all(callers));
    let calls: Vec<_> = callers.into_iter().flat_map(Result::unwrap).collect();

    let mut flights: HashMap<FlightId, Vec<&TimedCall>> = HashMap::new();
    for call in &calls {
        flights.entry(call.flight).or_default().push(call);
    }
    assert_eq!(flights.len(), executions.load(Ordering::SeqCst));
    for calls in flights.values() {
        let leaders = calls.iter().filter(|call| call.role == Role::Leader);
        assert_eq!(leaders.count(), 1);
        // The first output proves that the flight has landed.
        let landed = calls.iter().map(|call| call.answered).min();
        assert!(calls.iter().all(|call| Some(call.at) < landed));
    }
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 9, 13, 15, 16, 20: callers stay, leave and forget in many orders. Each caller that stays gets an
// output.
#[test]
fn after_callers_on_many_threads_all_counts_are_zero() {
    let runtime = runtime();
    let group: Group<usize, usize> = Group::new(Policy::default());
    let start = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (group, start) = (group.clone(), Arc::clone(&start));
            runtime.spawn(async move {
                for round in 0..ROUNDS {
                    start.wait().await;
                    let work = move |_flight| async move {
                        yield_now().await;
                        round
                    };
                    let call = group.call(round % 2, work);
                    match (caller + round) % CALLERS {
                        // Polled once, then dropped.
                        0 => drop(ManualFuture::new(call).poll()),
                        1 => {
                            group.forget(&(round % 2));
                            assert!(call.await.unwrap().value <= round);
                        }
                        _ => assert!(call.await.unwrap().callers <= 2 * CALLERS),
                    }
                }
            })
        })
        .collect();
    for caller in finish(&runtime, join_all(callers)) {
        caller.unwrap();
    }
    assert_eq!(finish(&runtime, group.drain(std::future::pending())), 0);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 9, 10, 20: a runtime shuts down while its flights are in any state.
#[test]
fn every_caller_gets_an_outcome_when_the_runtime_shuts_down() {
    const KEYS: usize = 8;
    let survivor = runtime();
    let group: Group<usize, usize> = Group::new(Policy::default());
    for _ in 0..ROUNDS / 10 {
        let doomed = runtime();
        let calls: Vec<_> = (0..KEYS)
            .map(|key| {
                let group = group.clone();
                let doomed = doomed.handle().clone();
                survivor.spawn(async move {
                    let mut call = ManualFuture::new(group.call(key, move |_flight| async move {
                        yield_now().await;
                        key
                    }));
                    let entered = doomed.enter();
                    let first = call.poll();
                    drop(entered);
                    match first {
                        Poll::Ready(outcome) => outcome,
                        Poll::Pending => call.finish().await,
                    }
                })
            })
            .collect();
        doomed.shutdown_background();
        for (key, outcome) in finish(&survivor, join_all(calls)).into_iter().enumerate() {
            match outcome.expect("a caller does not panic") {
                Ok(output) => assert_eq!(output.value, key),
                Err(error) => assert!(matches!(error, Error::Cancelled { .. })),
            }
        }
        assert_eq!(finish(&survivor, idle(&group)), [0, 0, 0]);
    }
}

/// The counts of a group without callers, once its last tasks have completed.
async fn idle(group: &Group<usize, usize>) -> [usize; 3] {
    while group.flights() > 0 {
        yield_now().await;
    }
    counts(group)
}

// contract 9, 10: a caller that sees an outcome without having been woken sees all of it.
#[test]
fn a_caller_that_polls_without_being_woken_sees_the_whole_outcome() {
    let runtime = runtime();
    let group: Group<usize, Arc<[usize]>> = Group::new(Policy::default());
    for round in 0..2 * ROUNDS {
        let call = |_| {
            ManualFuture::new(group.call(0, move |_flight| async move {
                yield_now().await;
                Arc::from([round; 8])
            }))
        };
        let mut calls: Vec<_> = (0..2).map(call).collect();
        let mut values: Vec<Arc<[usize]>> = Vec::new();
        let _entered = runtime.enter();
        while !calls.is_empty() {
            calls.retain_mut(|call| match call.poll() {
                Poll::Ready(output) => {
                    values.push(output.expect("the work lands").value);
                    false
                }
                Poll::Pending => true,
            });
            std::thread::yield_now();
        }
        assert!(values.iter().all(|value| **value == [round; 8]));
    }
}
