//! The table of one run, and what is seen of it. What is noted here is no point at which the explorer
//! switches, so noting changes no schedule.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use single_flight::{FlightEnd, FlightId, Group, Policy};

use crate::law::{Ask, Came, Closing, Ended, Seen};

pub(crate) const KEYS: usize = 2;

/// What work returns: the flight that it is of.
pub(crate) type Value = FlightId;

/// A key, and a part that shows how many of it there are.
#[derive(Debug)]
pub(crate) struct Key {
    key: u8,
    _kept: Arc<()>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) group: Group<Key, Value>,
    kept: Arc<()>,
    time: Arc<AtomicU64>,
    stamps: AtomicU64,
    /// Executions of each key that were called and are not dropped.
    alive: [AtomicUsize; KEYS],
    seen: Arc<Mutex<Seen>>,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        let (time, seen) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Seen>>::default());
        let clock = {
            let (start, time) = (Instant::now(), Arc::clone(&time));
            move || start + Duration::from_millis(time.load(Ordering::SeqCst))
        };
        let observer = {
            let seen = Arc::clone(&seen);
            move |Key { key, .. }: &Key, ended: &single_flight::EndedFlight<'_, Value>| {
                let came = match ended.end {
                    FlightEnd::Landed(value) => Came::Landed(*value),
                    FlightEnd::Panicked(_) => Came::Panicked,
                    FlightEnd::Cancelled => Came::Cancelled,
                };
                lock(&seen).ended.push(Ended {
                    key: *key,
                    flight: ended.flight,
                    callers: ended.callers,
                    came,
                });
            }
        };
        Self {
            policy,
            group: Group::with_observer(policy, clock, observer),
            kept: Arc::default(),
            time,
            stamps: AtomicU64::new(0),
            alive: Default::default(),
            seen,
        }
    }

    pub(crate) fn key(&self, key: u8) -> Key {
        let _kept = Arc::clone(&self.kept);
        Key { key, _kept }
    }

    /// Keys that somebody still has.
    pub(crate) fn keys(&self) -> usize {
        Arc::strong_count(&self.kept) - 1
    }

    /// A moment after all that were stamped before.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::SeqCst)
    }

    /// The clock, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }

    pub(crate) fn pass_time(&self) {
        self.time.fetch_add(2, Ordering::SeqCst);
    }

    /// An execution that has been called, until it is dropped.
    pub(crate) fn execute(self: &Arc<Self>, key: u8) -> Execution {
        let mut seen = lock(&self.seen);
        let alive = &self.alive[usize::from(key)];
        let of_key = alive.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_of_a_key = seen.most_of_a_key.max(of_key);
        let all = self.alive.iter().map(|alive| alive.load(Ordering::SeqCst));
        seen.most = seen.most.max(all.sum());
        Execution {
            world: Arc::clone(self),
            key,
        }
    }

    pub(crate) fn note_aboard(&self, leaves: bool) {
        let mut seen = lock(&self.seen);
        seen.aboard += 1;
        seen.left |= leaves;
    }

    pub(crate) fn note_ask(&self, ask: Ask) {
        lock(&self.seen).asks.push(ask);
    }

    /// Notes that the work of a flight is about to return.
    pub(crate) fn note_landing(&self, flight: FlightId) {
        let stamp = self.stamp();
        lock(&self.seen).landings.insert(flight, stamp);
    }

    pub(crate) fn note_closing(&self, closing: Closing) {
        lock(&self.seen).closings.push(closing);
    }

    pub(crate) fn note_drained(&self, after: u64) {
        lock(&self.seen).drained = Some(after);
    }

    pub(crate) fn executions(&self) -> usize {
        let alive = self.alive.iter().map(|alive| alive.load(Ordering::SeqCst));
        alive.sum()
    }

    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }
}

/// Counts as alive until it is dropped.
pub(crate) struct Execution {
    pub(crate) world: Arc<World>,
    key: u8,
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.world.alive[usize::from(self.key)].fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().expect("noting does not panic")
}
