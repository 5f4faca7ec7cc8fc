//! The gate counts flights and shuts for draining. It is the one place that says whether a flight may
//! open, so the flight limit is exact. It knows nothing of keys, callers or outcomes.

use std::array;

use crate::Error;
use crate::sync::{AtomicU64, AtomicUsize, Notify, Ordering, thread_number};

/// As many as threads are expected to open flights at once.
pub(crate) const STRIPES: usize = if cfg!(shuttle) { 2 } else { 16 };

/// The most permits there are.
const MOST: u64 = (1 << 32) - 1;
/// No flight opens any more.
const SHUT: u64 = 1 << 32;
/// Added with each change, so that a word that reads the same twice did not change in between. It may
/// carry out of the word.
const CHANGE: u64 = 1 << 33;

/// Counts flights, exactly.
///
/// A flight is counted twice, because two readers need different ends of it. Its permit is given back
/// before the callers learn the outcome: a caller that got its answer and asks again must not be refused
/// on account of the flight that answered it. It is `unfinished` until everything else is done: when a
/// drain ends, every outcome is settled and every observer told.
///
/// The counts are in stripes, one a thread, so that threads with flights of different keys write to
/// different lines of memory. A flight may be counted in by one thread and out by another.
///
/// Invariant: the permits in the stripes and those of the flights alive are together as many as the
/// limit.
///
/// Invariant: no permit is taken from a stripe that is shut.
pub(crate) struct Gate {
    permits: u64,
    stripes: [Stripe; STRIPES],
    /// Notified when a flight finishes in a stripe that is shut.
    finished: Notify,
}

/// A thread's part of the counts, on lines of memory that no other stripe has a part in.
#[repr(align(128))]
struct Stripe {
    /// Free permits, [`SHUT`], and the number of changes.
    permits: AtomicU64,
    /// Flights counted in here less those counted out here, wrapping.
    unfinished: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Self {
        let permits = MOST.min(limit as u64);
        let (each, over) = (permits / STRIPES as u64, permits % STRIPES as u64);
        Self {
            permits,
            stripes: array::from_fn(|stripe| Stripe {
                permits: AtomicU64::new(each + u64::from((stripe as u64) < over)),
                unfinished: AtomicUsize::new(0),
            }),
            finished: Notify::new(),
        }
    }

    /// Counts one more flight, or says why none may open.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let own = &self.stripes[stripe()];
        match own.take() {
            Taken::Permit => {}
            Taken::None => self.enter_by_another()?,
            Taken::Shut => return Err(Error::Draining),
        }
        own.unfinished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Takes a permit of any stripe, or finds that at one moment all of them were taken. A permit can move
    /// from a stripe that has not been looked at to one that has: the stripes are looked at until none of
    /// them has changed from one look to the next.
    fn enter_by_another(&self) -> Result<(), Error> {
        let mut before: Option<[u64; STRIPES]> = None;
        loop {
            let words = self.words();
            if words.iter().any(|word| word & SHUT != 0) {
                return Err(Error::Draining);
            }
            if before == Some(words) {
                let limit = self.permits as usize;
                return Err(Error::TooManyFlights { limit });
            }
            before = Some(words);
            let mut free = (0..STRIPES).filter(|stripe| words[*stripe] & MOST > 0);
            if free.any(|stripe| matches!(self.stripes[stripe].take(), Taken::Permit)) {
                return Ok(());
            }
        }
    }

    /// Gives the permit of a flight back. Once for each [`Gate::enter`].
    pub(crate) fn leave(&self) {
        let stripe = &self.stripes[stripe()];
        stripe.permits.fetch_add(CHANGE + 1, Ordering::SeqCst);
    }

    /// Takes a flight off what a drain waits for. Once for each [`Gate::leave`], after it.
    pub(crate) fn finish(&self) {
        let stripe = &self.stripes[stripe()];
        stripe.unfinished.fetch_sub(1, Ordering::SeqCst);
        if stripe.permits.load(Ordering::SeqCst) & SHUT != 0 {
            self.finished.notify_waiters();
        }
    }

    /// Lets no more flights in, for good.
    pub(crate) fn shut(&self) {
        for stripe in &self.stripes {
            stripe.permits.fetch_or(SHUT, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.stripes[stripe()].permits.load(Ordering::SeqCst) & SHUT != 0
    }

    /// Waits until every flight has finished. Only for a gate that is shut: another may fill again.
    pub(crate) async fn emptied(&self) {
        loop {
            // Created before the counts are read: a flight that finishes in between still notifies it.
            let finished = self.finished.notified();
            if self.is_empty() {
                return;
            }
            finished.await;
        }
    }

    /// Whether every flight has finished, of a gate that is shut.
    ///
    /// The permits are read first. A flight that has one and is not counted in `unfinished` yet is seen
    /// here; once all are back, every flight has been counted in, and is seen there until it finishes.
    fn is_empty(&self) -> bool {
        self.alive() == 0 && self.unfinished() == 0
    }

    /// Flights that have a permit. Exact while no flight opens or ends.
    pub(crate) fn alive(&self) -> usize {
        let free: u64 = self.words().iter().map(|word| word & MOST).sum();
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

/// What came of asking a stripe for a permit.
enum Taken {
    Permit,
    None,
    Shut,
}

impl Stripe {
    fn take(&self) -> Taken {
        // A compare-and-swap, not a subtraction that is taken back: the lack that one refused call left
        // for a moment would refuse others for whom there is room.
        let taken = self
            .permits
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                let free = word & SHUT == 0 && word & MOST > 0;
                free.then(|| word.wrapping_add(CHANGE - 1))
            });
        match taken {
            Ok(_) => Taken::Permit,
            Err(word) if word & SHUT != 0 => Taken::Shut,
            Err(_) => Taken::None,
        }
    }
}

/// The stripe of the current thread.
pub(crate) fn stripe() -> usize {
    thread_number() % STRIPES
}

#[cfg(all(test, shuttle))]
mod explored {
    use super::{Gate, STRIPES, stripe};
    use shuttle::sync::mpsc::channel;
    use shuttle::thread;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn explore(run: impl Fn() + Copy + Send + Sync + 'static) {
        shuttle::check_random(run, 50_000);
        shuttle::check_pct(run, 20_000, 3);
    }

    fn pass(gate: &Gate, inside: &AtomicUsize, limit: usize) {
        gate.enter().expect("there is room");
        assert!(inside.fetch_add(1, Ordering::SeqCst) < limit);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        gate.leave();
        gate.finish();
    }

    // 19: none past the limit is let in, and of as many threads as there are permits none is refused. Two
    // of them share a stripe, so they take permits from one and give them back to another.
    #[test]
    fn a_gate_lets_in_exactly_as_many_as_its_limit() {
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

    // 19: while one looks at the stripes in turn, a permit is given back to the one that it has looked at,
    // and the last of the next is taken. There is room all the time.
    #[test]
    fn a_permit_that_moves_behind_the_back_of_one_who_looks_is_found() {
        const LIMIT: usize = STRIPES;
        explore(|| {
            assert_eq!(stripe(), 0);
            let gate = Arc::new(Gate::new(LIMIT));
            let inside = Arc::new(AtomicUsize::new(0));
            let (left, has_left) = channel();
            let after = {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    has_left.recv().expect("the other leaves");
                    pass(&gate, &inside, LIMIT);
                })
            };
            let before = {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    assert_eq!(stripe(), 0);
                    pass(&gate, &inside, LIMIT);
                    left.send(()).expect("the next one waits");
                })
            };
            pass(&gate, &inside, LIMIT);
            for thread in [before, after] {
                thread.join().expect("a thread does not panic");
            }
        });
    }
}
