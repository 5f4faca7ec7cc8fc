//! [`Observation`]: counts the callers and flights of each key, and how many could share a flight, while it lasts.
//! Without an observation a flight costs one read of a counter.
//!
//! A report has hashes for keys, unless the keys themselves are requested.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admin_types::{Amount, ClientStats, KeyStats, ObservationReport, Stats};
use crate::model::{Call, FlightCost, FlightRecord};

/// The longest observation over HTTP: 1 h. Longer ones are a job for the metrics.
pub const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// Observations at the same time: 10. Each holds up to [`MAX_KEYS`] keys with their counts.
const MAX_OBSERVATIONS: usize = 10;

/// Keys that one observation counts: 10,000. Flights of further keys count for their client only.
const MAX_KEYS: usize = 10_000;

impl Amount {
    /// The amount of `calls` that cost `cost` each.
    fn of(calls: usize, cost: FlightCost) -> Self {
        let calls = calls as u64;
        #[expect(clippy::cast_precision_loss, reason = "no flight has 2^52 callers")]
        let times = calls as f64;
        Self {
            calls,
            upstream_requests: calls.saturating_mul(cost.requests as u64),
            upstream_seconds: times * cost.upstream.as_secs_f64(),
            guest_seconds: times * cost.guest.as_secs_f64(),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.upstream_requests += other.upstream_requests;
        self.upstream_seconds += other.upstream_seconds;
        self.guest_seconds += other.guest_seconds;
    }
}

impl Stats {
    fn record(&mut self, flight: &FlightRecord<'_>) {
        self.callers += flight.callers as u64;
        self.flights += 1;
        self.cost += Amount::of(1, flight.cost);
        self.saved += Amount::of(flight.callers.saturating_sub(1), flight.cost);
        self.would_save += Amount::of(flight.would_have_joined.into(), flight.cost);
        match flight.equal {
            Some(true) => self.equal += 1,
            Some(false) => self.unequal += 1,
            None => {}
        }
    }
}

/// How many bytes of arguments a report shows.
const MAX_SHOWN_BYTES: usize = 1 << 10;

/// How a report writes keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// As hashes, as in the log.
    #[default]
    Hashed,
    /// In clear text.
    Shown,
}

impl KeyFormat {
    fn format(self, key: &Call) -> String {
        match self {
            Self::Hashed => key.hashed(),
            Self::Shown => key.shown(MAX_SHOWN_BYTES),
        }
    }
}

/// All current observations.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    /// How many there are. Written under the lock of `counts`, read without it: an older value misses a flight
    /// that ended when the observation began.
    len: AtomicUsize,
    counts: Mutex<Vec<Arc<Mutex<ObservationCounts>>>>,
}

/// An observation, which ends when it is dropped.
#[derive(Debug)]
pub struct Observation {
    observers: Arc<Observers>,
    counts: Arc<Mutex<ObservationCounts>>,
    began: Instant,
}

#[derive(Debug, Default)]
struct ObservationCounts {
    clients: BTreeMap<String, ClientCounts>,
    /// Keys of all clients.
    keys: usize,
}

#[derive(Debug, Default)]
struct ClientCounts {
    all: Stats,
    keys: HashMap<Call, Stats>,
}

impl Observers {
    /// Begins an observation, unless the limit is reached.
    pub(crate) fn observe(self: &Arc<Self>) -> Option<Observation> {
        let mut all = lock(&self.counts);
        if all.len() >= MAX_OBSERVATIONS {
            return None;
        }
        let counts = Arc::default();
        all.push(Arc::clone(&counts));
        self.len.store(all.len(), Ordering::Relaxed);
        Some(Observation {
            observers: Arc::clone(self),
            counts,
            began: Instant::now(),
        })
    }

    /// The number of observations now.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Records a flight of `client` that has ended.
    pub(crate) fn record(&self, client: &str, flight: &FlightRecord<'_>) {
        if self.len() == 0 {
            return;
        }
        for counts in &*lock(&self.counts) {
            lock(counts).record(client, flight);
        }
    }
}

impl ObservationCounts {
    fn record(&mut self, client: &str, flight: &FlightRecord<'_>) {
        let of_client = self.clients.entry(client.to_owned()).or_default();
        of_client.all.record(flight);
        if let Some(of_key) = of_client.keys.get_mut(flight.call) {
            of_key.record(flight);
        } else if self.keys < MAX_KEYS {
            self.keys += 1;
            let of_key = of_client.keys.entry(flight.call.clone()).or_default();
            of_key.record(flight);
        }
    }
}

impl Observation {
    /// What was counted so far, with the `most` keys of each client that have the most duplicates.
    #[must_use]
    pub fn report(&self, most: usize, keys: KeyFormat) -> ObservationReport {
        // Copied first: flights that end meanwhile do not wait for the sorting.
        let copied: Vec<_> = lock(&self.counts)
            .clients
            .iter()
            .map(|(client, of)| {
                let keys = of.keys.iter().map(|(key, stats)| (key.clone(), *stats));
                (client.clone(), of.all, keys.collect::<Vec<_>>())
            })
            .collect();
        let of_client = |(client, stats, mut busiest): (_, _, Vec<(Call, Stats)>)| {
            busiest.sort_unstable_by_key(|(_, stats)| Reverse((stats.duplicates(), stats.callers)));
            let keys_seen = busiest.len();
            let of_key = |(key, stats)| KeyStats {
                key: keys.format(&key),
                stats,
            };
            ClientStats {
                client,
                stats,
                keys_seen,
                keys: busiest.into_iter().take(most).map(of_key).collect(),
            }
        };
        ObservationReport {
            seconds: self.began.elapsed().as_secs_f64(),
            clients: copied.into_iter().map(of_client).collect(),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let mut all = lock(&self.observers.counts);
        all.retain(|counts| !Arc::ptr_eq(counts, &self.counts));
        self.observers.len.store(all.len(), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: FlightCost = FlightCost {
        requests: 2,
        upstream: Duration::from_millis(250),
        guest: Duration::from_millis(125),
        guest_memory: 65_536,
        host_memory: 256,
    };

    fn flight(key: &Call, callers: usize) -> FlightRecord<'_> {
        FlightRecord {
            call: key,
            callers,
            cost: COST,
            would_have_joined: false,
            equal: None,
        }
    }

    #[test]
    fn saved_is_what_flights_of_their_own_would_have_cost_the_callers_that_joined() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        observers.record("orders", &flight(&"42".into(), 3));
        let report = observation.report(10, KeyFormat::Shown);
        let orders = &report.clients[0];
        assert_eq!(orders.client, "orders");
        let saved = Amount {
            calls: 2,
            upstream_requests: 4,
            upstream_seconds: 0.5,
            guest_seconds: 0.25,
        };
        let stats = orders.stats;
        assert_eq!((stats.callers, stats.flights), (3, 1));
        assert_eq!((stats.saved, stats.would_save), (saved, Amount::default()));
        assert_eq!(stats.cost.upstream_requests, 2);
    }

    #[test]
    fn would_save_is_what_the_callers_cost_that_would_have_joined() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        let key = "42".into();
        observers.record("orders", &flight(&key, 1));
        for equal in [true, false] {
            let twin = FlightRecord {
                would_have_joined: true,
                equal: Some(equal),
                ..flight(&key, 1)
            };
            observers.record("orders", &twin);
        }
        let stats = observation.report(10, KeyFormat::Shown).clients[0].stats;
        assert_eq!((stats.callers, stats.flights), (3, 3));
        assert_eq!(stats.saved, Amount::default());
        assert_eq!(stats.would_save.upstream_requests, 4);
        assert_eq!((stats.equal, stats.unequal), (1, 1));
    }

    #[test]
    fn the_keys_with_most_duplicates_come_first_as_hashes_unless_keys_are_requested() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for (key, callers) in [("rare", 1), ("busy", 5), ("busier", 7)] {
            observers.record("orders", &flight(&key.into(), callers));
        }
        let named = |most, keys| {
            let keys = observation.report(most, keys).clients[0].keys.clone();
            keys.into_iter().map(|of| of.key).collect::<Vec<_>>()
        };
        assert_eq!(named(2, KeyFormat::Shown), ["busier", "busy"]);
        let hashed = ["busier", "busy", "rare"].map(|key| Call::from(key).to_string());
        assert_eq!(named(10, KeyFormat::Hashed), hashed);
    }

    #[test]
    fn past_the_limit_of_keys_flights_count_for_their_client_only() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for number in 0..MAX_KEYS + 10 {
            observers.record("orders", &flight(&number.to_string().into(), 1));
        }
        let orders = &observation.report(1, KeyFormat::Hashed).clients[0];
        assert_eq!(orders.keys_seen, MAX_KEYS);
        assert_eq!(orders.stats.flights, MAX_KEYS as u64 + 10);
    }

    #[test]
    fn observations_have_a_limit_and_one_that_ends_makes_room() {
        let observers = Arc::<Observers>::default();
        let mut all: Vec<_> = (0..MAX_OBSERVATIONS)
            .map(|_| observers.observe().unwrap())
            .collect();
        assert!(observers.observe().is_none());
        all.pop();
        assert!(observers.observe().is_some());
        all.clear();
        assert_eq!(observers.len(), 0);
    }
}
