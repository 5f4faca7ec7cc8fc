//! [`Pace`]: how long the guests of a client run without a pause, from measurements of their polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A poll that takes longer is long: 100 µs. With hundreds of shorter ones in its queues the runtime is late by about a
/// tick.
pub(super) const LONG: Duration = Duration::from_micros(100);

/// A guest whose poll takes longer is busy: 1 ms. Passing the runtime's work on to another thread takes 10 µs.
pub(super) const BUSY: Duration = Duration::from_millis(1);

/// How long the pace of a client is remembered at most: 1 s.
const MEMORY: Duration = Duration::from_secs(1);

/// How many polls the pace of a client is remembered for at most. What happens to a poll of any guest once in a while,
/// such as an interrupt, must not slow down the thousands that follow in a second.
const MEMORY_POLLS: u32 = 256;

/// Guests are long if two long polls are at most this many apart.
const APART: u32 = 16;

/// How long the guests of a client run without a pause.
#[derive(Default)]
pub(super) struct Pace {
    /// Whether `watch` is some. Written under its lock, and read without it: by far most polls only read this.
    is_watched: AtomicBool,
    watch: Mutex<Option<Watch>>,
}

/// What the polls of late have measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measured {
    /// All were short, or one was long.
    Short,
    /// Two were long.
    Long,
    /// One was so long that its guest is busy.
    Busy,
}

/// The polls of a client of which one took long. They are measured in processor time, because a poll also takes long if
/// its thread has to wait for a processor.
#[derive(Clone, Copy, Debug)]
struct Watch {
    pace: Measured,
    /// The polls that are still measured.
    polls: u32,
    /// The polls that are left for a second long one, if there was one.
    second: u32,
    /// The end of the memory of `pace`.
    until: Instant,
}

impl Pace {
    /// Whether no poll of late took long.
    pub(super) fn is_short(&self) -> bool {
        !self.is_watched.load(Ordering::Relaxed)
    }

    /// Whether a poll of late was so long that its guest is busy.
    pub(super) fn is_busy(&self) -> bool {
        self.lock()
            .is_some_and(|watch| watch.pace == Measured::Busy)
    }

    /// Records a poll that took long in elapsed time.
    pub(super) fn suspect(&self, now: Instant) {
        self.watch(&mut self.lock(), now);
    }

    /// The pace for the next poll.
    pub(super) fn next(&self, now: Instant) -> Measured {
        let mut watch = self.lock();
        match watch.as_mut() {
            Some(Watch {
                pace, polls, until, ..
            }) if *polls > 0 && now < *until => {
                *polls -= 1;
                *pace
            }
            _ => {
                *watch = None;
                self.is_watched.store(false, Ordering::Relaxed);
                Measured::Short
            }
        }
    }

    /// Records the processor time of a poll that has ended at `now`.
    pub(super) fn record(&self, time: Duration, now: Instant) {
        let mut watch = self.lock();
        if time < LONG {
            if let Some(watch) = watch.as_mut() {
                watch.second = watch.second.saturating_sub(1);
            }
            return;
        }
        let watch = self.watch(&mut watch, now);
        let is_second = watch.second > 0;
        watch.second = APART;
        let pace = if time >= BUSY {
            Measured::Busy
        } else if is_second {
            Measured::Long
        } else {
            Measured::Short
        };
        if pace == Measured::Short {
            watch.polls = watch.polls.max(APART);
        } else if pace >= watch.pace {
            watch.pace = pace;
            watch.polls = MEMORY_POLLS;
            watch.until = now + MEMORY;
        }
    }

    /// The watch that there is, or else a new one.
    fn watch<'a>(&self, watch: &'a mut Option<Watch>, now: Instant) -> &'a mut Watch {
        self.is_watched.store(true, Ordering::Relaxed);
        watch.get_or_insert(Watch {
            pace: Measured::Short,
            polls: APART,
            second: 0,
            until: now + MEMORY,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_nanos(1);

    /// Records `times`, one after another, and returns the pace that is then known.
    fn pace_after(pace: &Pace, now: Instant, times: &[Duration]) -> Measured {
        for time in times {
            pace.next(now);
            pace.record(*time, now);
        }
        pace.next(now)
    }

    fn suspected(now: Instant) -> Pace {
        let pace = Pace::default();
        pace.suspect(now);
        assert!(!pace.is_short());
        pace
    }

    #[test]
    fn a_poll_that_took_long_is_a_suspicion_that_short_ones_allay() {
        let now = Instant::now();
        let pace = suspected(now);
        let short = vec![LONG - MOMENT; APART as usize];
        assert_eq!(pace_after(&pace, now, &short), Measured::Short);
        assert!(pace.is_short());
    }

    #[test]
    fn guests_are_long_after_two_long_polls_that_are_not_far_apart() {
        let now = Instant::now();
        for (between, expected) in [
            (0, Measured::Long),
            (APART - 1, Measured::Long),
            (APART, Measured::Short),
        ] {
            let pace = suspected(now);
            let mut times = vec![MOMENT; between as usize + 2];
            times[0] = LONG;
            *times.last_mut().unwrap() = LONG;
            assert_eq!(pace_after(&pace, now, &times), expected, "{between}");
        }
    }

    #[test]
    fn one_poll_shows_that_a_guest_is_busy() {
        let now = Instant::now();
        let pace = suspected(now);
        assert_eq!(pace_after(&pace, now, &[BUSY - MOMENT]), Measured::Short);
        assert_eq!(pace_after(&pace, now, &[BUSY]), Measured::Busy);
        assert!(pace.is_busy());
    }

    #[test]
    fn the_longest_poll_is_remembered_for_a_while() {
        let (now, pace) = (Instant::now(), suspected(Instant::now()));
        let later = now + MEMORY;
        assert_eq!(pace_after(&pace, now, &[LONG, LONG]), Measured::Long);
        assert_eq!(pace_after(&pace, now, &[BUSY]), Measured::Busy);
        // A shorter one does not lengthen the time of the longest.
        pace.record(BUSY - MOMENT, later - MOMENT);
        assert_eq!(pace.next(later - MOMENT), Measured::Busy);
        assert_eq!(pace.next(later), Measured::Short);
        assert!(pace.is_short() && !pace.is_busy());
    }

    #[test]
    fn many_short_polls_end_the_memory_early() {
        let now = Instant::now();
        let pace = suspected(now);
        let mut times = vec![MOMENT; MEMORY_POLLS as usize];
        times[0] = BUSY;
        assert_eq!(pace_after(&pace, now, &times), Measured::Busy);
        assert_eq!(pace_after(&pace, now, &[MOMENT]), Measured::Short);
    }
}
