//! A flight: one execution of the work for one key, and the callers on it. It holds its callers and its
//! outcome. It has no access to the table that lists it or to the work, so it cannot unlist or run itself.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::id::FlightId;
use crate::outcome::Error;
use crate::sync::{Mutex, MutexGuard, OnceLock};
use crate::wakers::{Wakers, wake};

/// One execution for one key.
///
/// Invariant: a flight is settled once. Settling, joining and leaving each happen under `waiters`, so the
/// number of callers in `settled` is final, and every waker is either taken when the flight is settled or
/// not stored at all.
///
/// Invariant: callers join only while the flight is open, under the lock of its shard. A flight that is
/// closed and has no caller never gets one again.
pub(crate) struct Flight<K, V> {
    /// Written on construction, as are `key`, `hash` and `opened`.
    pub(crate) id: FlightId,
    pub(crate) key: K,
    /// The hash of `key` in the table that lists this flight.
    pub(crate) hash: u64,
    /// `None` if the group reads no clock.
    pub(crate) opened: Option<Instant>,
    /// Written once, under `waiters`: by the task when the work has ended, or by whichever thread cancels
    /// the flight. Read without a lock.
    settled: OnceLock<Settled<V>>,
    /// Lock order: a shard of the table, then this.
    waiters: Mutex<Waiters>,
}

/// The outcome of a flight.
pub(crate) struct Settled<V> {
    pub(crate) state: TerminalState<V>,
    /// The number of callers that ever joined.
    pub(crate) callers: usize,
}

/// How a flight ended.
pub(crate) enum TerminalState<V> {
    Landed(V),
    Panicked(Arc<str>),
    Cancelled,
}

/// The callers of a flight that is not settled. Not read after that.
struct Waiters {
    /// Callers on the flight now. Incremented in `join`, decremented in `leave`.
    attached: usize,
    /// Callers that ever joined. Incremented in `join`.
    joined: usize,
    /// One waker for each attached caller.
    wakers: Wakers,
    /// The waker of the flight's task. Written by the task when its work first returns pending, taken when
    /// the flight is settled.
    task: Option<Waker>,
}

/// The slot of the leader's waker.
pub(crate) const LEADER_SLOT: u32 = 0;

/// The wakers to call after a flight was settled.
#[must_use = "callers that are not woken hang"]
pub(crate) struct ToWake {
    pub(crate) callers: Wakers,
    pub(crate) task: Option<Waker>,
}

impl ToWake {
    pub(crate) fn wake_all(self) {
        self.callers.wake_all();
        if let Some(task) = self.task {
            wake(task);
        }
    }
}

impl<K, V> Flight<K, V> {
    /// A flight with its leader on it, in [`LEADER_SLOT`].
    pub(crate) fn new(key: K, hash: u64, opened: Option<Instant>, leader: Waker) -> Self {
        Self {
            id: FlightId::next(),
            key,
            hash,
            opened,
            settled: OnceLock::new(),
            waiters: Mutex::new(Waiters {
                attached: 1,
                joined: 1,
                wakers: Wakers::new(leader),
                task: None,
            }),
        }
    }

    /// How long ago it opened. `None` if the group reads no clock.
    pub(crate) fn age(&self, now: Option<Instant>) -> Option<Duration> {
        let (now, opened) = now.zip(self.opened)?;
        Some(now.saturating_duration_since(opened))
    }

    /// Adds a caller and returns its slot. Takes the waker only on success, so that no waker is dropped
    /// under a lock. Call this with the lock of the flight's shard held.
    pub(crate) fn join(&self, limit: usize, waker: &mut Option<Waker>) -> Result<u32, Error> {
        let mut waiters = self.lock();
        if waiters.attached >= limit {
            return Err(Error::TooManyCallers { limit });
        }
        let waker = waker.take().expect("a caller joins with its waker");
        waiters.attached += 1;
        waiters.joined += 1;
        Ok(waiters.wakers.insert(waker))
    }

    /// Removes a caller. True if it was the last one.
    pub(crate) fn leave(&self, slot: u32) -> bool {
        let mut waiters = self.lock();
        if self.is_settled() {
            return false;
        }
        waiters.attached -= 1;
        let abandoned = waiters.attached == 0;
        let waker = waiters.wakers.remove(slot);
        drop(waiters);
        drop(waker);
        abandoned
    }

    /// The number of callers on the flight; 0 once it is settled.
    pub(crate) fn attached(&self) -> usize {
        let waiters = self.lock();
        if self.is_settled() {
            0
        } else {
            waiters.attached
        }
    }

    /// Settles the flight. Returns `state` if it is settled already.
    pub(crate) fn settle(&self, state: TerminalState<V>) -> Result<ToWake, TerminalState<V>> {
        self.settle_locked(self.lock(), state)
    }

    /// Cancels the flight if it has no caller. Only for a flight that is closed to joiners: an open one
    /// could be joined after it was cancelled.
    pub(crate) fn cancel_if_abandoned(&self) -> Option<ToWake> {
        let waiters = self.lock();
        if waiters.attached > 0 {
            return None;
        }
        self.settle_locked(waiters, TerminalState::Cancelled).ok()
    }

    fn settle_locked(
        &self,
        mut waiters: MutexGuard<'_, Waiters>,
        state: TerminalState<V>,
    ) -> Result<ToWake, TerminalState<V>> {
        let callers = waiters.joined;
        match self.settled.set(Settled { state, callers }) {
            Ok(()) => Ok(ToWake {
                callers: mem::replace(&mut waiters.wakers, Wakers::empty()),
                task: waiters.task.take(),
            }),
            Err(rejected) => Err(rejected.state),
        }
    }

    pub(crate) fn settled(&self) -> Option<&Settled<V>> {
        self.settled.get()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.get().is_some()
    }

    /// Ready once the flight is settled. Until then `waker` is the one that the caller in `slot` is woken
    /// through.
    pub(crate) fn poll_settled(&self, slot: u32, waker: &Waker) -> Poll<()> {
        // Before the lock, so that the callers of a flight that has landed do not contend for it.
        if self.is_settled() {
            return Poll::Ready(());
        }
        let mut waiters = self.lock();
        if self.is_settled() {
            return Poll::Ready(());
        }
        let stored = waiters.wakers.get(slot);
        if stored.is_some_and(|stored| stored.will_wake(waker)) {
            return Poll::Pending;
        }
        // Cloning and dropping a waker runs code of its executor, so the lock is released for it. The
        // flight may be settled before the lock is taken again.
        drop(waiters);
        let waker = waker.clone();
        let mut waiters = self.lock();
        let (polled, outdated) = if self.is_settled() {
            (Poll::Ready(()), Some(waker))
        } else {
            (Poll::Pending, waiters.wakers.replace(slot, waker))
        };
        drop(waiters);
        drop(outdated);
        polled
    }

    /// Stores the waker of the flight's task, which is woken when another thread settles the flight.
    /// Returns true, and stores nothing, if the flight is settled already: the task must stop then.
    pub(crate) fn store_task_waker(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut waiters = self.lock();
        if self.is_settled() {
            drop(waiters);
            return true;
        }
        let before = waiters.task.replace(waker);
        drop(waiters);
        drop(before);
        false
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing under this lock panics, so a poisoned lock guards consistent state.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
