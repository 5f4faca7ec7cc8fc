//! What happens in one run: a policy and a few actors, chosen by the dice.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{BoxFuture, join};
use single_flight::{Abandoned, Error, FlightId, Policy, SharingMode};

use crate::ground::{spawn, throw, yield_now};
use crate::law::{self, Ask, Closing};
use crate::world::{KEYS, Value, World};

const ACTORS: usize = 3;
const ACTIONS: usize = 2;

/// How some work ends.
#[derive(Clone, Copy)]
enum Ending {
    Land,
    Panic,
    /// It asks for the next key first, whose work asks for one after that.
    Ask(u8),
    /// It does not end: it is stopped.
    Never,
}

/// What flight a caller takes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Takes {
    /// The one that is open, or its own where none is.
    Open,
    /// None but its own.
    Own,
}

/// What a caller does once it is aboard.
#[derive(Clone, Copy, PartialEq)]
enum Staying {
    Stay,
    /// It stays, and is polled with another waker each time, also when nobody woke it.
    Restless,
    Leave,
}

/// What the callers of a run do.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Mixed,
    /// All of them leave, from work that never ends by itself.
    Fleeting,
}

pub(crate) async fn run() {
    let mood = if rarely(5) {
        Mood::Fleeting
    } else {
        Mood::Mixed
    };
    let world = Arc::new(World::new(policy(mood)));
    let mut actors: Vec<_> = (0..ACTORS)
        .map(|_| spawn(act(Arc::clone(&world), mood)))
        .collect();
    if rarely(4) {
        actors.push(spawn(drain(Arc::clone(&world))));
    }
    for actor in actors {
        actor.await.expect("an actor does not panic");
    }
    // What was left to finish, or is being stopped, ends by itself.
    world.group.drain(pending()).await;
    // A flight is gone a moment after it has ended.
    while world.keys() > 0 {
        yield_now().await;
    }
    law::check(&world);
}

fn rarely(one_in: usize) -> bool {
    throw(one_in) == 0
}

fn policy(mood: Mood) -> Policy {
    Policy {
        max_flights: if rarely(3) { 2 } else { 100 },
        max_callers_per_flight: if rarely(3) { 2 } else { 100 },
        max_executions_per_key: rarely(3).then_some(2),
        join_window: rarely(2).then_some(Duration::from_millis(1)),
        abandoned: if mood == Mood::Mixed && rarely(3) {
            Abandoned::Finish
        } else {
            Abandoned::Cancel
        },
        sharing: if rarely(10) {
            SharingMode::Observe
        } else {
            SharingMode::Share
        },
    }
}

async fn act(world: Arc<World>, mood: Mood) {
    for _ in 0..ACTIONS {
        let key = throw(KEYS) as u8;
        match throw(9) {
            0 => forget(&world, key),
            1 => world.pass_time(),
            _ if mood == Mood::Fleeting => {
                ask(&world, key, takes(), Ending::Never, Staying::Leave).await;
            }
            2 | 3 => ask(&world, key, takes(), ending(), Staying::Leave).await,
            4 => {
                let one = ask(&world, key, takes(), ending(), Staying::Stay);
                let other = ask(&world, key, takes(), ending(), Staying::Restless);
                join(one, other).await;
            }
            5 => ask(&world, key, takes(), ending(), Staying::Restless).await,
            _ => ask(&world, key, takes(), ending(), Staying::Stay).await,
        }
    }
}

fn takes() -> Takes {
    if rarely(4) { Takes::Own } else { Takes::Open }
}

fn ending() -> Ending {
    match throw(6) {
        0 => Ending::Panic,
        1 => Ending::Ask(1),
        2 => Ending::Ask(2),
        _ => Ending::Land,
    }
}

fn forget(world: &World, key: u8) {
    let before = world.stamp();
    world.group.forget(&world.key(key));
    let after = world.stamp();
    world.note_closing(Closing { key, before, after });
}

async fn drain(world: Arc<World>) {
    let deadline = async {
        for _ in 0..throw(4) {
            yield_now().await;
        }
    };
    world.group.drain(deadline).await;
    let after = world.stamp();
    world.note_drained(after);
}

/// One call, from its first poll to its outcome or to its leaving.
async fn ask(world: &Arc<World>, key: u8, takes: Takes, ending: Ending, staying: Staying) {
    let (asked, work) = (world.key(key), work(world, key, ending));
    let mut call = pin!(match takes {
        Takes::Open => world.group.call(asked, work),
        Takes::Own => world.group.call_fresh(asked, work),
    });
    let (before, asked_at) = (world.stamp(), world.now());
    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    let (aboard, aboard_at) = (world.stamp(), world.now());
    if first.is_pending() {
        world.note_aboard(staying == Staying::Leave);
        if takes == Takes::Own {
            let after = aboard;
            world.note_closing(Closing { key, before, after });
        }
    }
    let outcome = match first {
        Poll::Ready(refused) => refused,
        Poll::Pending => match staying {
            Staying::Stay => call.await,
            Staying::Restless => restless(call).await,
            Staying::Leave => return,
        },
    };
    let answered = world.stamp();
    world.note_ask(Ask {
        key,
        takes,
        before,
        aboard,
        answered,
        asked_at,
        aboard_at,
        outcome,
    });
}

async fn restless<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut poll = move |cx: &mut Context<'_>| {
        let waker = Waker::from(Arc::new(Forward(cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    };
    for _ in 0..throw(3) {
        if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
            return outcome;
        }
        yield_now().await;
    }
    poll_fn(poll).await
}

/// Wakes another, and is equal to none.
struct Forward(Waker);

impl Wake for Forward {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Some work: it waits a while, or not, and ends.
fn work(
    world: &Arc<World>,
    key: u8,
    ending: Ending,
) -> impl FnOnce(FlightId) -> BoxFuture<'static, Value> + Send + use<> {
    let world = Arc::clone(world);
    move |flight| {
        let execution = world.execute(key);
        Box::pin(async move {
            for _ in 0..throw(3) {
                yield_now().await;
            }
            match ending {
                Ending::Land => {}
                // Not a panic that is reported: it is part of the script.
                Ending::Panic => std::panic::resume_unwind(Box::new("as the script says")),
                Ending::Ask(more) => {
                    let next = (key + 1) % KEYS as u8;
                    let ending = match more {
                        1 => Ending::Land,
                        more => Ending::Ask(more - 1),
                    };
                    ask_further(&execution.world, next, ending).await;
                }
                Ending::Never => pending().await,
            }
            execution.world.note_landing(flight);
            flight
        })
    }
}

/// A call from a flight's own task. Boxed, because its work may make such a call again.
fn ask_further<'a>(world: &'a Arc<World>, key: u8, ending: Ending) -> BoxFuture<'a, ()> {
    Box::pin(ask(world, key, takes(), ending, Staying::Stay))
}

/// What a refusal says is so.
pub(crate) fn may_refuse(error: &Error, policy: &Policy) -> bool {
    match error {
        Error::TooManyFlights { limit } => *limit == policy.max_flights,
        Error::TooManyCallers { limit } => *limit == policy.max_callers_per_flight,
        Error::TooManyExecutions { limit } => Some(*limit) == policy.max_executions_per_key,
        Error::WouldDeadlock | Error::Draining => true,
        Error::Panicked { .. } | Error::Cancelled { .. } => false,
    }
}
