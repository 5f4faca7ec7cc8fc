//! The table of one run, and the record of that run. Recording uses primitives that the explorer does not
//! control, so it changes no schedule.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use single_flight::{EndedFlight, FlightEnd, FlightId, Group, Policy};

use crate::record::{Closing, CompletedCall, Record, ReportedEnd, ReportedFlight, Value};

pub(crate) const KEYS: usize = 2;

/// A key whose instances are counted.
#[derive(Debug)]
pub(crate) struct CountedKey {
    key: u8,
    _count: Arc<()>,
}

impl PartialEq for CountedKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for CountedKey {}

impl Hash for CountedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) group: Group<CountedKey, Value>,
    keys: Arc<()>,
    time: Arc<AtomicU64>,
    stamps: AtomicU64,
    /// The number of executions of each key that were called and are not dropped.
    alive: [AtomicUsize; KEYS],
    record: Arc<Mutex<Record>>,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        let (time, record) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Record>>::default());
        let clock = {
            let (start, time) = (Instant::now(), Arc::clone(&time));
            move || start + Duration::from_millis(time.load(Ordering::SeqCst))
        };
        let observer = {
            let record = Arc::clone(&record);
            move |CountedKey { key, .. }: &CountedKey, ended: &EndedFlight<'_, Value>| {
                let end = match ended.end {
                    FlightEnd::Landed(value) => ReportedEnd::Landed(*value),
                    FlightEnd::Panicked(_) => ReportedEnd::Panicked,
                    FlightEnd::Cancelled => ReportedEnd::Cancelled,
                };
                lock(&record).ended.push(ReportedFlight {
                    key: *key,
                    flight: ended.flight,
                    callers: ended.callers,
                    end,
                });
            }
        };
        Self {
            policy,
            group: Group::with_observer(policy, clock, observer),
            keys: Arc::default(),
            time,
            stamps: AtomicU64::new(0),
            alive: Default::default(),
            record,
        }
    }

    pub(crate) fn key(&self, key: u8) -> CountedKey {
        let _count = Arc::clone(&self.keys);
        CountedKey { key, _count }
    }

    /// The number of keys that are not dropped.
    pub(crate) fn keys(&self) -> usize {
        Arc::strong_count(&self.keys) - 1
    }

    /// A number greater than all stamps before.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::SeqCst)
    }

    /// The clock, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }

    pub(crate) fn advance_clock(&self) {
        self.time.fetch_add(2, Ordering::SeqCst);
    }

    /// Counts an execution of `key` until the returned value is dropped.
    pub(crate) fn execute(self: &Arc<Self>, key: u8) -> CountedExecution {
        let mut record = lock(&self.record);
        let alive = &self.alive[usize::from(key)];
        let of_key = alive.fetch_add(1, Ordering::SeqCst) + 1;
        record.max_executions_of_a_key = record.max_executions_of_a_key.max(of_key);
        record.max_executions = record.max_executions.max(self.executions());
        CountedExecution {
            world: Arc::clone(self),
            key,
        }
    }

    pub(crate) fn record_join(&self, leaves: bool) {
        let mut record = lock(&self.record);
        record.joined += 1;
        record.left |= leaves;
    }

    pub(crate) fn record_call(&self, call: CompletedCall) {
        lock(&self.record).calls.push(call);
    }

    /// Records that the work of a flight is about to return.
    pub(crate) fn record_landing(&self, flight: FlightId) {
        let stamp = self.stamp();
        lock(&self.record).landings.insert(flight, stamp);
    }

    pub(crate) fn record_closing(&self, closing: Closing) {
        lock(&self.record).closings.push(closing);
    }

    pub(crate) fn record_drained(&self, after: u64) {
        lock(&self.record).drained = Some(after);
    }

    pub(crate) fn executions(&self) -> usize {
        let alive = self.alive.iter().map(|alive| alive.load(Ordering::SeqCst));
        alive.sum()
    }

    pub(crate) fn take_record(&self) -> Record {
        std::mem::take(&mut lock(&self.record))
    }
}

/// An execution that counts as alive until it is dropped.
pub(crate) struct CountedExecution {
    pub(crate) world: Arc<World>,
    key: u8,
}

impl Drop for CountedExecution {
    fn drop(&mut self) {
        self.world.alive[usize::from(self.key)].fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().expect("recording does not panic")
}
