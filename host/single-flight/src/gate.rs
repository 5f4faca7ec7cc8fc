//! The gate counts flights and shuts for draining. It is the one place that says whether a flight may
//! open, so the flight limit is exact. It knows nothing of keys, callers or outcomes.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::Error;

/// One flight that counts against the limit.
const ALIVE: u64 = 1;
/// One flight whose task has yet to do its last act.
const UNFINISHED: u64 = 1 << 32;
/// No flight opens any more.
const DRAINING: u64 = 1 << 63;
/// The largest number of flights either count can hold.
const MOST: u64 = (1 << 31) - 1;

/// Counts flights, exactly.
///
/// The count is one word for the whole group, which every flight writes three times. A striped count
/// would contend less, but it cannot refuse exactly the flight that is one past the limit.
///
/// A flight is counted twice, because two readers need different ends of it. `ALIVE` is given back
/// before the callers learn the outcome: a caller that got its answer and asks again must not be
/// refused on account of the flight that answered it. `UNFINISHED` is given back after everything
/// else: when a drain ends, every outcome is settled and every observer told.
///
/// Invariant: `ALIVE <= UNFINISHED <= MOST`, and no count rises once `DRAINING` is set.
pub(crate) struct Gate {
    word: AtomicU64,
    /// Notified when `UNFINISHED` reaches zero while `DRAINING` is set.
    emptied: Notify,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    /// Counts one more flight, or says why none may open.
    pub(crate) fn enter(&self, limit: usize) -> Result<(), Error> {
        // A compare-and-swap, not an add that is taken back: the excess of one refused call would
        // refuse others for whom there is room.
        let entered = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let room = alive(word) < limit && unfinished(word) < MOST;
                (!draining(word) && room).then_some(word + ALIVE + UNFINISHED)
            });
        match entered {
            Ok(_) => Ok(()),
            Err(word) if draining(word) => Err(Error::Draining),
            Err(_) => Err(Error::TooManyFlights { limit }),
        }
    }

    /// Takes a flight off the limit. Once for each [`Gate::enter`].
    pub(crate) fn leave(&self) {
        self.word.fetch_sub(ALIVE, Ordering::Relaxed);
    }

    /// Takes a flight off what a drain waits for. Once for each [`Gate::leave`], after it.
    pub(crate) fn finish(&self) {
        let before = self.word.fetch_sub(UNFINISHED, Ordering::AcqRel);
        if draining(before) && unfinished(before) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Lets no more flights in, for good.
    pub(crate) fn shut(&self) {
        self.word.fetch_or(DRAINING, Ordering::AcqRel);
    }

    /// Waits until every flight has finished. Only for a gate that is shut: another may fill again.
    pub(crate) async fn emptied(&self) {
        // Created before the count is read: a flight that finishes in between still notifies it.
        let emptied = self.emptied.notified();
        if unfinished(self.word.load(Ordering::Acquire)) > 0 {
            emptied.await;
        }
    }

    pub(crate) fn alive(&self) -> usize {
        alive(self.word.load(Ordering::Relaxed))
    }
}

fn alive(word: u64) -> usize {
    (word & MOST) as usize
}

fn unfinished(word: u64) -> u64 {
    (word / UNFINISHED) & MOST
}

fn draining(word: u64) -> bool {
    word & DRAINING != 0
}
