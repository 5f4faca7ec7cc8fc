//! A flight: one execution of the work for one key, and the callers on it. It knows its callers and its
//! outcome. It does not know the table that lists it, nor the work: a flight cannot unlist or run itself.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::num::NonZeroU64;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::Error;
use crate::sync::{Mutex, MutexGuard, OnceLock};
use crate::wakers::{Wakers, wake};

/// The name of a flight, unique in this process. Names say nothing about order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(NonZeroU64);

impl FlightId {
    fn next() -> Self {
        // Not of `crate::sync`: which id a flight gets changes nothing for a schedule.
        use std::sync::atomic::{AtomicU64, Ordering};
        use std::thread_local;

        // Threads take ids by the block, so that flights of different threads share no counter.
        const BLOCK: u64 = 1 << 10;
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static LAST: Cell<u64> = const { Cell::new(0) };
        }
        LAST.with(|last| {
            let before = if last.get().is_multiple_of(BLOCK) {
                BLOCKS.fetch_add(BLOCK, Ordering::Relaxed)
            } else {
                last.get()
            };
            last.set(before + 1);
            FlightId(NonZeroU64::MIN.saturating_add(before))
        })
    }
}

impl fmt::Display for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One execution for one key.
///
/// Invariant: a flight is settled once. Settling, joining and leaving each happen under `crowd`, so the
/// number of callers in `settled` is final, and every waker is either taken by the one who settles or
/// never kept.
///
/// Invariant: callers join only while the flight is open, under the lock of its shard. A flight that is
/// no longer open and deserted stays so.
pub(crate) struct Flight<K, V> {
    /// Written when the flight is made, as are `key`, `hash` and `opened`.
    pub(crate) id: FlightId,
    pub(crate) key: K,
    /// The hash of `key` in the table that lists this flight.
    pub(crate) hash: u64,
    /// Where the table's policy or its observer asks for the age of flights.
    pub(crate) opened: Option<Instant>,
    /// Written once, under `crowd`: by the task when the work has ended, or by whoever cancels. Read
    /// without a lock.
    settled: OnceLock<Settled<V>>,
    /// Lock order: a shard of the table, then this.
    crowd: Mutex<Crowd>,
}

/// The terminal state of a flight.
pub(crate) struct Settled<V> {
    pub(crate) outcome: Outcome<V>,
    /// How many callers ever joined.
    pub(crate) callers: usize,
}

/// What a flight comes to.
pub(crate) enum Outcome<V> {
    Landed(V),
    Panicked(Arc<str>),
    Cancelled,
}

/// Who is on a flight, until it is settled. After that nobody reads it.
struct Crowd {
    /// Callers on the flight now. Up in `join`, down in `leave`.
    attached: usize,
    /// Callers that ever joined. Up in `join`.
    joined: usize,
    /// One waker for each attached caller.
    wakers: Wakers,
    /// The waker of the flight's task. Written by the task once its work waits, taken by the one who
    /// settles.
    task: Option<Waker>,
}

/// The leader's place.
pub(crate) const FIRST: u32 = 0;

/// Whom to wake about a flight that was just settled.
#[must_use = "callers that are not woken hang"]
pub(crate) struct Freed {
    pub(crate) callers: Wakers,
    pub(crate) task: Option<Waker>,
}

impl Freed {
    pub(crate) fn wake_all(self) {
        self.callers.wake_all();
        if let Some(task) = self.task {
            wake(task);
        }
    }
}

impl<K, V> Flight<K, V> {
    /// A flight with its leader on it, at place [`FIRST`].
    pub(crate) fn new(key: K, hash: u64, opened: Option<Instant>, leader: Waker) -> Self {
        Self {
            id: FlightId::next(),
            key,
            hash,
            opened,
            settled: OnceLock::new(),
            crowd: Mutex::new(Crowd {
                attached: 1,
                joined: 1,
                wakers: Wakers::new(leader),
                task: None,
            }),
        }
    }

    /// How long ago it opened, where that is known.
    pub(crate) fn age(&self, now: Option<Instant>) -> Option<Duration> {
        let (now, opened) = now.zip(self.opened)?;
        Some(now.saturating_duration_since(opened))
    }

    /// Puts a caller on the flight and returns its place. Takes the waker only if that succeeds, so that
    /// no waker is dropped under a lock. The caller of this holds the lock of the flight's shard.
    pub(crate) fn join(&self, limit: usize, waker: &mut Option<Waker>) -> Result<u32, Error> {
        let mut crowd = self.lock();
        if crowd.attached >= limit {
            return Err(Error::TooManyCallers { limit });
        }
        let waker = waker.take().expect("a caller joins with its waker");
        crowd.attached += 1;
        crowd.joined += 1;
        Ok(crowd.wakers.insert(waker))
    }

    /// Takes a caller off the flight. True if the flight is deserted now.
    pub(crate) fn leave(&self, place: u32) -> bool {
        let mut crowd = self.lock();
        if self.is_settled() {
            return false;
        }
        crowd.attached -= 1;
        let deserted = crowd.attached == 0;
        let waker = crowd.wakers.remove(place);
        drop(crowd);
        drop(waker);
        deserted
    }

    /// Callers on the flight now; none once it is settled.
    pub(crate) fn attached(&self) -> usize {
        let crowd = self.lock();
        if self.is_settled() { 0 } else { crowd.attached }
    }

    /// Settles the flight, or gives the outcome back if it is settled already.
    pub(crate) fn settle(&self, outcome: Outcome<V>) -> Result<Freed, Outcome<V>> {
        self.settle_under(self.lock(), outcome)
    }

    /// Cancels the flight if nobody is on it. Only for a flight that is not open: one that is could be
    /// joined in its cancelled state.
    pub(crate) fn cancel_if_deserted(&self) -> Option<Freed> {
        let crowd = self.lock();
        if crowd.attached > 0 {
            return None;
        }
        self.settle_under(crowd, Outcome::Cancelled).ok()
    }

    fn settle_under(
        &self,
        mut crowd: MutexGuard<'_, Crowd>,
        outcome: Outcome<V>,
    ) -> Result<Freed, Outcome<V>> {
        let callers = crowd.joined;
        match self.settled.set(Settled { outcome, callers }) {
            Ok(()) => Ok(Freed {
                callers: mem::replace(&mut crowd.wakers, Wakers::empty()),
                task: crowd.task.take(),
            }),
            Err(rejected) => Err(rejected.outcome),
        }
    }

    pub(crate) fn settled(&self) -> Option<&Settled<V>> {
        self.settled.get()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.get().is_some()
    }

    /// Waits, as the caller at `place`, for the flight to be settled.
    pub(crate) fn poll_settled(&self, place: u32, waker: &Waker) -> Poll<()> {
        // Before the lock, so that the callers of a flight that has landed do not queue for it.
        if self.is_settled() {
            return Poll::Ready(());
        }
        let mut crowd = self.lock();
        if self.is_settled() {
            return Poll::Ready(());
        }
        let kept = crowd.wakers.get(place);
        if kept.is_some_and(|kept| kept.will_wake(waker)) {
            return Poll::Pending;
        }
        // Cloning and dropping a waker runs code of its executor, so the lock is given back for it, and
        // the flight may have been settled when it is taken again.
        drop(crowd);
        let waker = waker.clone();
        let mut crowd = self.lock();
        let (polled, outdated) = if self.is_settled() {
            (Poll::Ready(()), Some(waker))
        } else {
            (Poll::Pending, crowd.wakers.replace(place, waker))
        };
        drop(crowd);
        drop(outdated);
        polled
    }

    /// Keeps the waker of the flight's task, to be woken when another settles the flight. True if one
    /// has, and the task must stop instead.
    pub(crate) fn keep_task(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut crowd = self.lock();
        if self.is_settled() {
            drop(crowd);
            return true;
        }
        let before = crowd.task.replace(waker);
        drop(crowd);
        drop(before);
        false
    }

    fn lock(&self) -> MutexGuard<'_, Crowd> {
        // Nothing under this lock panics, so what a poisoned one guards is whole.
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::FlightId;
    use std::collections::HashSet;
    use std::thread;

    #[test]
    fn flights_of_all_threads_have_different_ids() {
        // More than a thread takes at once.
        const IDS: usize = if cfg!(miri) { 1_100 } else { 3_000 };
        let take = || thread::spawn(|| (0..IDS).map(|_| FlightId::next()).collect::<Vec<_>>());
        let threads = [(); 2].map(|()| take());
        let taken = threads.map(|thread| thread.join().unwrap());
        let ids: HashSet<_> = taken.iter().flatten().collect();
        assert_eq!(ids.len(), 2 * IDS);
    }
}
