//! [`Pace`]: how long the guests of a client run without a pause, from measurements of their polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A poll that takes longer is long: 100 µs. With hundreds of shorter ones in its queues the runtime is late by about a
/// tick.
pub(super) const LONG: Duration = Duration::from_micros(100);

/// A guest whose poll takes longer is busy: 1 ms. Passing the runtime's work on to another thread takes 10 µs.
pub(super) const BUSY: Duration = Duration::from_millis(1);

/// How long the pace of a client is remembered: 1 s.
const MEMORY: Duration = Duration::from_secs(1);

/// How many polls are measured in processor time after one that has taken long in elapsed time.
const SUSPECT_POLLS: u32 = 16;

/// How long the guests of a client run without a pause.
#[derive(Default)]
pub(super) struct Pace {
    /// Whether `state` is not [`State::Short`]. Written under its lock, and read without it: by far most polls only read
    /// this.
    is_known: AtomicBool,
    state: Mutex<State>,
}

/// What the polls of late have measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// All were short.
    Short,
    /// One was long.
    Long,
    /// One was so long that its guest is busy.
    Busy,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Short,
    /// A poll took long, but its thread may have waited for a processor. The next `polls` are measured in processor time.
    Suspected {
        polls: u32,
    },
    Long {
        until: Instant,
    },
    Busy {
        until: Instant,
    },
}

impl Pace {
    /// Whether all polls of late were short.
    pub(super) fn is_short(&self) -> bool {
        !self.is_known.load(Ordering::Relaxed)
    }

    /// Whether a poll of late was so long that its guest is busy.
    pub(super) fn is_busy(&self) -> bool {
        matches!(*self.lock(), State::Busy { .. })
    }

    /// Records a poll that took long in elapsed time.
    pub(super) fn suspect(&self) {
        let mut state = self.lock();
        if let State::Short = *state {
            let polls = SUSPECT_POLLS;
            self.set(&mut state, State::Suspected { polls });
        }
    }

    /// The pace for the next poll.
    pub(super) fn next(&self, now: Instant) -> Measured {
        let mut state = self.lock();
        let next = match *state {
            State::Suspected { polls: 0 } => State::Short,
            State::Suspected { polls } => State::Suspected { polls: polls - 1 },
            State::Long { until } | State::Busy { until } if until <= now => State::Short,
            state => state,
        };
        self.set(&mut state, next);
        match next {
            State::Short => Measured::Short,
            State::Suspected { .. } | State::Long { .. } => Measured::Long,
            State::Busy { .. } => Measured::Busy,
        }
    }

    /// Records the processor time of a poll that has ended at `now`.
    pub(super) fn record(&self, time: Duration, now: Instant) {
        if time < LONG {
            return;
        }
        let mut state = self.lock();
        let until = now + MEMORY;
        if time >= BUSY {
            self.set(&mut state, State::Busy { until });
        } else if !matches!(*state, State::Busy { .. }) {
            self.set(&mut state, State::Long { until });
        }
    }

    fn set(&self, state: &mut State, to: State) {
        *state = to;
        let is_known = !matches!(to, State::Short);
        self.is_known.store(is_known, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_nanos(1);

    #[test]
    fn a_poll_that_took_long_is_a_suspicion_that_short_ones_allay() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert!(pace.is_short());
        pace.suspect();
        for _ in 0..SUSPECT_POLLS {
            assert!(!pace.is_short());
            assert_eq!(pace.next(now), Measured::Long);
            pace.record(LONG - MOMENT, now);
        }
        assert_eq!(pace.next(now), Measured::Short);
        assert!(pace.is_short());
    }

    #[test]
    fn the_longest_poll_is_remembered_for_a_while() {
        let (pace, now) = (Pace::default(), Instant::now());
        let later = now + MEMORY;
        pace.record(LONG, now);
        assert!(!pace.is_short() && !pace.is_busy());
        assert_eq!(pace.next(later - MOMENT), Measured::Long);
        pace.record(BUSY, now);
        // A shorter one does not lengthen the time of the longest.
        pace.record(BUSY - MOMENT, later - MOMENT);
        assert_eq!(pace.next(later - MOMENT), Measured::Busy);
        assert_eq!(pace.next(later), Measured::Short);
        assert!(pace.is_short() && !pace.is_busy());
    }
}
