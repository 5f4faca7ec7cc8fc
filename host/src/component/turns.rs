//! [`Turns`]: on which threads the guests of a client run, and how many of them at a time.
//!
//! A guest runs in the task of its flight, on a thread of the runtime, until it waits or the next epoch tick. Most guests
//! do so for microseconds, and nothing is in their way here. If guests that compute for longer ran like that, everything
//! else that the runtime has to do (connections, probes, the guests of other clients) would wait in its queues behind all
//! of them, for up to a tick each. So the polls of a client's guests are measured, and what follows depends on the
//! longest of late, its [`Pace`]:
//!
//! | polls take | guests of the client |
//! |---|---|
//! | less than 0.1 ms, but for one now and then | run at once |
//! | longer | take turns: at most `max_runnable` are in the queues of the runtime at a time |
//! | 1 ms and longer | take turns on other threads, of which there is a limited number for all clients |
//!
//! The scheduler of the system shares the processors among those threads and the runtime's. A thread of the runtime
//! becomes such a thread by `block_in_place`, which passes the runtime's work on to another thread: the future of the
//! flight stays where it is, so whatever drops it or enters its span works as elsewhere, and a guest of microseconds pays
//! nothing for it. Threads of our own would need every future in a box of its own.
//!
//! It is decided by client and not by flight, because what is in others' way is the sum of a client's guests: hundreds
//! that compute for a few milliseconds and return are no better than one that never does. A client gets in the way of
//! others for two ticks on each thread of the runtime, until its pace is known, and again if its guests were short for a
//! second in between.

mod pace;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::available_parallelism;
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::block_in_place;

use self::pace::{LONG, Measured, Pace};
use super::cpu_budget::{CpuBudget, CpuTimeExceeded, PollClock};
use crate::flight_context::FlightContext;
use crate::model::Limits;

/// How many clients can have as many busy guests on threads as there are processors. With more clients, guests wait for
/// each other's turns, which take up to a tick; up to this number, the system interrupts one for another much earlier.
const CLIENTS: usize = 4;

/// One permit for each busy guest that runs, of all clients.
static THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(max_guest_threads()));

/// The turns of the guests of one client.
pub(super) struct Turns {
    pace: Pace,
    /// One permit for each guest that has a turn. The queue is in order of arrival.
    guests: Semaphore,
    threads: &'static Semaphore,
    /// Busy guests that run or wait for their turn.
    computing: AtomicUsize,
}

impl Turns {
    /// The turns of the guests of a client with `limits`.
    pub(super) fn new(limits: &Limits) -> Self {
        // With more, the guests of one client would take the threads of other clients, and be no faster.
        Self::on(&THREADS, limits.max_runnable.min(processors()))
    }

    fn on(threads: &'static Semaphore, max_runnable: usize) -> Self {
        Self {
            pace: Pace::default(),
            guests: Semaphore::new(max_runnable),
            threads,
            computing: AtomicUsize::new(0),
        }
    }

    /// The number of busy guests that run or wait for their turn: not those that wait for anything else.
    pub(super) fn computing(&self) -> usize {
        self.computing.load(Ordering::Relaxed)
    }

    /// Runs `future`, a guest of the flight of `context`, to its end or until it has used `budget` up.
    ///
    /// # Panics
    ///
    /// In a `LocalSet` of a runtime with several threads, if the client's guests are busy. Flights are spawned, and
    /// never run in one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `future`, and its place in the queues.
    pub(super) async fn run<F: Future>(
        &self,
        budget: CpuBudget,
        context: &FlightContext,
        future: F,
    ) -> Result<F::Output, CpuTimeExceeded> {
        let mut meter = budget.meter(context);
        let mut future = pin!(future);
        let ended = poll_fn(|cx| {
            if !self.pace.is_short() {
                return Poll::Ready(None);
            }
            let (polled, time) = meter.poll(PollClock::Elapsed, future.as_mut(), cx);
            if time >= LONG {
                self.pace.suspect(Instant::now());
            }
            polled.map(Some)
        });
        if let Some(ended) = ended.await {
            return ended;
        }
        loop {
            let turn = self.turn().await;
            let polled = poll_fn(|cx| {
                Poll::Ready(turn.run(|| meter.poll(PollClock::Processor, future.as_mut(), cx)))
            });
            let (polled, time) = polled.await;
            self.pace.record(time, Instant::now());
            context.report_guest_time();
            drop(turn);
            if let Poll::Ready(ended) = polled {
                return ended;
            }
            woken().await;
        }
    }

    /// Waits for a turn. Each turn is one poll: a guest that has not ended queues for its next turn behind the others.
    async fn turn(&self) -> Turn<'_> {
        if self.pace.next(Instant::now()) == Measured::Short {
            return Turn::default();
        }
        let computing = Computing::new(self);
        let guest = self.guests.acquire().await;
        // The pace may have become known while this waited. The order of the queues is the same for all: no guest that
        // has a thread waits for a turn of its client.
        let thread = if self.pace.is_busy() {
            Some(self.threads.acquire().await)
        } else {
            None
        };
        Turn {
            thread: thread.map(|permit| permit.expect("the semaphore is never closed")),
            _guest: Some(guest.expect("the semaphore is never closed")),
            _computing: Some(computing),
        }
    }
}

/// The turn of one guest, until it is dropped.
#[derive(Default)]
struct Turn<'a> {
    /// A permit to run on a thread that is not the runtime's.
    thread: Option<SemaphorePermit<'static>>,
    _guest: Option<SemaphorePermit<'a>>,
    _computing: Option<Computing<'a>>,
}

impl Turn<'_> {
    /// Runs `poll`, on a thread that is not the runtime's if this turn permits it and the runtime has others.
    fn run<T>(&self, poll: impl FnOnce() -> T) -> T {
        let has_others = || {
            let runtime = Handle::try_current();
            runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
        };
        if self.thread.is_some() && has_others() {
            block_in_place(poll)
        } else {
            poll()
        }
    }
}

/// Counts a busy guest that runs or waits for its turn, until it is dropped.
struct Computing<'a>(&'a AtomicUsize);

impl<'a> Computing<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.computing.fetch_add(1, Ordering::Relaxed);
        Self(&turns.computing)
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until the task is woken, by whatever a future waits for that this task has just polled.
async fn woken() {
    let mut is_polled = false;
    poll_fn(|_| {
        if std::mem::replace(&mut is_polled, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The maximum number of threads that guests which compute for long take of a runtime, beside its own. The runtime takes
/// them from its threads for blocking work, and must have as many
/// ([`max_blocking_threads`](tokio::runtime::Builder::max_blocking_threads)).
#[must_use]
pub fn max_guest_threads() -> usize {
    CLIENTS * processors()
}

/// The number of processors that this process may use.
fn processors() -> usize {
    available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests;
