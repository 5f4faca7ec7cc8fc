//! The gate admits flights: it enforces the flight limit exactly, and closes when a drain starts. It knows
//! nothing of keys, callers or outcomes.

use std::array;

use crate::outcome::Error;
use crate::stripe::{STRIPES, current_stripe};
use crate::sync::{AtomicU64, AtomicUsize, Notify, Ordering};

/// The maximum number of permits, and the mask of a word's permits.
const MAX_PERMITS: u64 = (1 << 32) - 1;
/// The flag of a word that no permit can be taken from any more.
const CLOSED: u64 = 1 << 32;
/// Added with each change, so that a word that reads the same twice did not change in between. It may
/// carry out of the word.
const CHANGE: u64 = 1 << 33;

/// Counts flights exactly.
///
/// A flight is counted twice, because two readers need different ends of it. Its permit is released before
/// its callers learn the outcome: a caller that has its answer and calls again must not be refused because
/// of the flight that answered it. It is `unfinished` until everything else is done: when a drain ends,
/// every outcome is settled and every observer call has returned.
///
/// The counts are striped by thread, so that threads with flights of different keys write to different
/// cache lines. A flight may be counted in by one thread and out by another.
///
/// Invariant: the permits in the stripes and those of the flights alive add up to the limit.
///
/// Invariant: no permit is taken from a closed stripe.
pub(crate) struct Gate {
    permits: u64,
    stripes: [GateStripe; STRIPES],
    /// Notified when a flight finishes in a closed stripe.
    finished: Notify,
}

/// A thread's part of the counts. Aligned, so that two stripes share no cache line.
#[repr(align(128))]
struct GateStripe {
    /// Free permits, [`CLOSED`], and the number of changes.
    permits: AtomicU64,
    /// Flights counted in here minus flights counted out here, wrapping.
    unfinished: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Self {
        let permits = MAX_PERMITS.min(limit as u64);
        let (each, over) = (permits / STRIPES as u64, permits % STRIPES as u64);
        Self {
            permits,
            stripes: array::from_fn(|stripe| GateStripe {
                permits: AtomicU64::new(each + u64::from((stripe as u64) < over)),
                unfinished: AtomicUsize::new(0),
            }),
            finished: Notify::new(),
        }
    }

    /// Takes the permit of one more flight.
    pub(crate) fn acquire(&self) -> Result<(), Error> {
        let own = &self.stripes[current_stripe()];
        match own.try_acquire() {
            Ok(()) => {}
            Err(TryAcquireError::NoPermits) => self.acquire_elsewhere()?,
            Err(TryAcquireError::Closed) => return Err(Error::Draining),
        }
        own.unfinished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Takes a permit of any stripe, or finds that at one moment all of them were taken. A permit can move
    /// from a stripe that was not read yet to one that was: the stripes are read until none of them has
    /// changed between two reads.
    fn acquire_elsewhere(&self) -> Result<(), Error> {
        let mut before: Option<[u64; STRIPES]> = None;
        loop {
            let words = self.words();
            if words.iter().any(|word| word & CLOSED != 0) {
                return Err(Error::Draining);
            }
            if before == Some(words) {
                let limit = self.permits as usize;
                return Err(Error::TooManyFlights { limit });
            }
            before = Some(words);
            let mut free = (0..STRIPES).filter(|stripe| words[*stripe] & MAX_PERMITS > 0);
            if free.any(|stripe| self.stripes[stripe].try_acquire().is_ok()) {
                return Ok(());
            }
        }
    }

    /// Releases the permit of a flight. Once for each [`Gate::acquire`].
    pub(crate) fn release(&self) {
        let stripe = &self.stripes[current_stripe()];
        stripe.permits.fetch_add(CHANGE + 1, Ordering::SeqCst);
    }

    /// Ends what a drain waits for. Once for each [`Gate::release`], after it.
    pub(crate) fn finish(&self) {
        let stripe = &self.stripes[current_stripe()];
        stripe.unfinished.fetch_sub(1, Ordering::SeqCst);
        if stripe.permits.load(Ordering::SeqCst) & CLOSED != 0 {
            self.finished.notify_waiters();
        }
    }

    /// Admits no more flights. Cannot be undone.
    pub(crate) fn close(&self) {
        for stripe in &self.stripes {
            stripe.permits.fetch_or(CLOSED, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        let stripe = &self.stripes[current_stripe()];
        stripe.permits.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// Waits until every flight has finished. Only for a closed gate: an open one admits more.
    pub(crate) async fn drained(&self) {
        loop {
            // Created before the counts are read: a flight that finishes in between still notifies it.
            let finished = self.finished.notified();
            if self.is_drained() {
                return;
            }
            finished.await;
        }
    }

    /// Whether every flight has finished. Only for a closed gate.
    ///
    /// The permits are read first. A flight that has a permit and is not counted in `unfinished` yet is
    /// seen here. Once all permits are released, every flight has been counted in, and is seen in
    /// `unfinished` until it finishes.
    fn is_drained(&self) -> bool {
        self.alive() == 0 && self.unfinished() == 0
    }

    /// The number of flights that have a permit. Exact while no flight opens or ends.
    pub(crate) fn alive(&self) -> usize {
        let free: u64 = self.words().iter().map(|word| word & MAX_PERMITS).sum();
        self.permits.saturating_sub(free) as usize
    }

    fn unfinished(&self) -> usize {
        let stripes = self.stripes.iter();
        let counts = stripes.map(|stripe| stripe.unfinished.load(Ordering::SeqCst));
        counts.fold(0, usize::wrapping_add)
    }

    fn words(&self) -> [u64; STRIPES] {
        array::from_fn(|stripe| self.stripes[stripe].permits.load(Ordering::SeqCst))
    }
}

/// Why a stripe gave no permit.
enum TryAcquireError {
    NoPermits,
    Closed,
}

impl GateStripe {
    fn try_acquire(&self) -> Result<(), TryAcquireError> {
        // A compare-and-swap, not a subtraction that is undone: a refused call would make the count too
        // low for a moment, and other calls would be refused although a permit is free.
        let taken = self
            .permits
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                let free = word & CLOSED == 0 && word & MAX_PERMITS > 0;
                free.then(|| word.wrapping_add(CHANGE - 1))
            });
        match taken {
            Ok(_) => Ok(()),
            Err(word) if word & CLOSED != 0 => Err(TryAcquireError::Closed),
            Err(_) => Err(TryAcquireError::NoPermits),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::Gate;

    // contract 23: a permit is released before its flight has finished, and a drain waits for both.
    #[test]
    fn a_gate_is_drained_when_every_flight_has_released_its_permit_and_finished() {
        let gate = Gate::new(2);
        gate.acquire().expect("a permit is free");
        gate.close();
        assert!(!gate.is_drained());
        gate.release();
        assert_eq!((gate.alive(), gate.unfinished()), (0, 1));
        assert!(!gate.is_drained());
        gate.finish();
        assert!(gate.is_drained());
    }
}

#[cfg(all(test, shuttle))]
mod explored {
    use super::Gate;
    use crate::stripe::{STRIPES, current_stripe};
    use shuttle::sync::mpsc::channel;
    use shuttle::thread;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn explore(run: impl Fn() + Copy + Send + Sync + 'static) {
        shuttle::check_random(run, 50_000);
        shuttle::check_pct(run, 20_000, 3);
    }

    fn pass(gate: &Gate, inside: &AtomicUsize, limit: usize) {
        gate.acquire().expect("a permit is free");
        assert!(inside.fetch_add(1, Ordering::SeqCst) < limit);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        gate.release();
        gate.finish();
    }

    // contract 19: no flight past the limit is admitted, and with as many threads as permits none is
    // refused. Two threads share a stripe, so permits are taken from one stripe and released to another.
    #[test]
    fn a_gate_admits_exactly_its_limit() {
        const LIMIT: usize = STRIPES + 1;
        explore(|| {
            let gate = Arc::new(Gate::new(LIMIT));
            let inside = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..LIMIT)
                .map(|_| {
                    let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                    thread::spawn(move || [(); 2].map(|()| pass(&gate, &inside, LIMIT)))
                })
                .collect();
            for thread in threads {
                thread.join().expect("a thread does not panic");
            }
            assert_eq!((gate.alive(), gate.unfinished()), (0, 0));
        });
    }

    // contract 19: while a thread reads the stripes one after the other, a permit is released to a stripe
    // that it has read, and then the last permit of a stripe that it has not read is taken. A permit is free
    // all the time.
    #[test]
    fn a_permit_that_moves_to_a_stripe_already_read_is_found() {
        const LIMIT: usize = STRIPES;
        explore(|| {
            assert_eq!(current_stripe(), 0);
            let gate = Arc::new(Gate::new(LIMIT));
            let inside = Arc::new(AtomicUsize::new(0));
            let (left, has_left) = channel();
            let after = {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    has_left.recv().expect("the other thread leaves");
                    pass(&gate, &inside, LIMIT);
                })
            };
            let before = {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    assert_eq!(current_stripe(), 0);
                    pass(&gate, &inside, LIMIT);
                    left.send(()).expect("the next thread waits");
                })
            };
            pass(&gate, &inside, LIMIT);
            for thread in [before, after] {
                thread.join().expect("a thread does not panic");
            }
        });
    }
}
