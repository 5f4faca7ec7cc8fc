//! The actions of one run: a policy and a few actors, chosen at random.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{BoxFuture, join};
use single_flight::{Abandoned, FlightId, Policy, SharingMode};

use crate::invariants;
use crate::record::{Closing, CompletedCall, Mode, Value};
use crate::runtime_shim::{random_below, spawn, yield_now};
use crate::world::{KEYS, World};

const ACTORS: usize = 3;
const ACTIONS: usize = 2;

/// How some work ends.
#[derive(Clone, Copy)]
enum WorkEnd {
    Land,
    Panic,
    /// It first calls for the next key. The number is the depth of nested calls.
    Nested(u8),
    /// It never ends by itself.
    Never,
}

/// What a caller does after its first poll.
#[derive(Clone, Copy, PartialEq)]
enum Stay {
    UntilDone,
    /// It is polled without having been woken, each time with another waker.
    Restless,
    Leave,
}

/// The behaviour of all callers of a run.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Mixed,
    /// All of them leave, and the work never ends by itself.
    AllLeave,
}

pub(crate) async fn run() {
    let behaviour = if one_in(5) {
        Behaviour::AllLeave
    } else {
        Behaviour::Mixed
    };
    let world = Arc::new(World::new(policy(behaviour)));
    let mut actors: Vec<_> = (0..ACTORS)
        .map(|_| spawn(act(Arc::clone(&world), behaviour)))
        .collect();
    if one_in(4) {
        actors.push(spawn(drain(Arc::clone(&world))));
    }
    for actor in actors {
        actor.await.expect("an actor does not panic");
    }
    // Abandoned flights that finish, or that are stopping, end by themselves.
    world.group.drain(pending()).await;
    // A task drops its flight shortly after it has closed it.
    while world.keys() > 0 {
        yield_now().await;
    }
    invariants::check(&world);
}

/// True once in `n` times.
fn one_in(n: usize) -> bool {
    random_below(n) == 0
}

fn policy(behaviour: Behaviour) -> Policy {
    Policy {
        max_flights: if one_in(3) { 2 } else { 100 },
        max_callers_per_flight: if one_in(3) { 2 } else { 100 },
        max_executions_per_key: one_in(3).then_some(2),
        join_window: one_in(2).then_some(Duration::from_millis(1)),
        abandoned: if behaviour == Behaviour::Mixed && one_in(3) {
            Abandoned::Finish
        } else {
            Abandoned::Cancel
        },
        sharing: if one_in(10) {
            SharingMode::Observe
        } else {
            SharingMode::Share
        },
    }
}

async fn act(world: Arc<World>, behaviour: Behaviour) {
    for _ in 0..ACTIONS {
        let key = random_below(KEYS) as u8;
        match random_below(9) {
            0 => forget(&world, key),
            1 => world.advance_clock(),
            _ if behaviour == Behaviour::AllLeave => {
                call(&world, key, mode(), WorkEnd::Never, Stay::Leave).await;
            }
            2 | 3 => call(&world, key, mode(), work_end(), Stay::Leave).await,
            4 => {
                let one = call(&world, key, mode(), work_end(), Stay::UntilDone);
                let other = call(&world, key, mode(), work_end(), Stay::Restless);
                join(one, other).await;
            }
            5 => call(&world, key, mode(), work_end(), Stay::Restless).await,
            _ => call(&world, key, mode(), work_end(), Stay::UntilDone).await,
        }
    }
}

fn mode() -> Mode {
    if one_in(4) { Mode::Fresh } else { Mode::Join }
}

fn work_end() -> WorkEnd {
    match random_below(6) {
        0 => WorkEnd::Panic,
        1 => WorkEnd::Nested(1),
        2 => WorkEnd::Nested(2),
        _ => WorkEnd::Land,
    }
}

fn forget(world: &World, key: u8) {
    let before = world.stamp();
    world.group.forget(&world.key(key));
    let after = world.stamp();
    world.record_closing(Closing { key, before, after });
}

async fn drain(world: Arc<World>) {
    let deadline = async {
        for _ in 0..random_below(4) {
            yield_now().await;
        }
    };
    world.group.drain(deadline).await;
    let after = world.stamp();
    world.record_drained(after);
}

/// One call, from its first poll until it completes or leaves.
async fn call(world: &Arc<World>, key: u8, mode: Mode, end: WorkEnd, stay: Stay) {
    let (group_key, work) = (world.key(key), work(world, key, end));
    let mut call = pin!(match mode {
        Mode::Join => world.group.call(group_key, work),
        Mode::Fresh => world.group.call_fresh(group_key, work),
    });
    let (before, called_at) = (world.stamp(), world.now());
    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    let (joined, joined_at) = (world.stamp(), world.now());
    if first.is_pending() {
        world.record_join(stay == Stay::Leave);
        if mode == Mode::Fresh {
            let after = joined;
            world.record_closing(Closing { key, before, after });
        }
    }
    let outcome = match first {
        Poll::Ready(refused) => refused,
        Poll::Pending => match stay {
            Stay::UntilDone => call.await,
            Stay::Restless => restless(call).await,
            Stay::Leave => return,
        },
    };
    let completed = world.stamp();
    world.record_call(CompletedCall {
        key,
        mode,
        before,
        joined,
        completed,
        called_at,
        joined_at,
        outcome,
    });
}

async fn restless<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut poll = move |cx: &mut Context<'_>| {
        let waker = Waker::from(Arc::new(Forward(cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    };
    for _ in 0..random_below(3) {
        if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
            return outcome;
        }
        yield_now().await;
    }
    poll_fn(poll).await
}

/// Wakes another waker. `Waker::will_wake` is false for any two of these.
struct Forward(Waker);

impl Wake for Forward {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Work that yields a few times and then ends.
fn work(
    world: &Arc<World>,
    key: u8,
    end: WorkEnd,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, Value> + Send + use<> {
    let world = Arc::clone(world);
    move |flight| {
        let execution = world.execute(key);
        Box::pin(async move {
            for _ in 0..random_below(3) {
                yield_now().await;
            }
            match end {
                WorkEnd::Land => {}
                // Without the panic hook: the panic is part of the script.
                WorkEnd::Panic => std::panic::resume_unwind(Box::new("the script panics")),
                WorkEnd::Nested(depth) => {
                    let next = (key + 1) % KEYS as u8;
                    let end = match depth {
                        1 => WorkEnd::Land,
                        depth => WorkEnd::Nested(depth - 1),
                    };
                    nested_call(&execution.world, next, end).await;
                }
                WorkEnd::Never => pending().await,
            }
            execution.world.record_landing(flight);
            flight
        })
    }
}

/// A call from a flight's own task. Boxed, because its work may make such a call in turn.
fn nested_call<'a>(world: &'a Arc<World>, key: u8, end: WorkEnd) -> BoxFuture<'a, ()> {
    Box::pin(call(world, key, mode(), end, Stay::UntilDone))
}
