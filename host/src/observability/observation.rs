//! [`Observation`]: which calls are made, and which of them duplicate a call in flight, recorded per key while the
//! observation lasts. Without an observation, a flight costs one atomic load.
//!
//! Reports name keys by their hashes, unless the keys themselves are requested.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::{Call, FlightCost, FlightRecord};

/// The maximum length of an observation over HTTP: 1 h. Use the metrics for anything longer.
pub const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// Observations at once: 10. Each stores up to [`MAX_KEYS`] keys with their statistics.
const MAX_OBSERVATIONS: usize = 10;

/// Keys that one observation distinguishes: 10,000. Further keys count for their client alone.
const MAX_KEYS: usize = 10_000;

/// Callers and flights, and what sharing saved or would save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Callers of flights that have ended.
    pub callers: u64,
    /// Flights that have ended, each one call of the guest.
    pub flights: u64,
    /// The cost of the flights that landed. The cost of cancelled flights is not known.
    pub cost: Amount,
    /// Callers that joined a flight, and what flights of their own would have cost.
    pub saved: Amount,
    /// Callers that would have joined a flight if calls were shared, and what their own flights cost.
    pub would_save: Amount,
    /// Compared answers that were equal to the one that would have been shared.
    pub equal: u64,
    /// Compared answers that were not.
    pub unequal: u64,
}

/// Calls, and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Calls of the guest.
    pub calls: u64,
    /// Requests to upstreams.
    pub upstream_requests: u64,
    /// The sum of the times that those requests were open, in seconds.
    pub upstream_seconds: f64,
    /// Processor time of guests, in seconds.
    pub guest_seconds: f64,
}

impl Amount {
    /// The cost of `calls` calls that cost `cost` each.
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
    /// Callers whose own call was saved, or could have been.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.saved.calls + self.would_save.calls
    }

    fn add(&mut self, flight: &FlightRecord<'_>) {
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

/// What an observation recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How long the observation lasted.
    pub seconds: f64,
    /// The clients that had flights.
    pub clients: Vec<ClientStats>,
}

/// The statistics of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientStats {
    /// Its name.
    pub client: String,
    /// All its flights.
    #[serde(flatten)]
    pub stats: Stats,
    /// How many keys the flights were for, up to the number of keys that are distinguished.
    pub keys_seen: usize,
    /// The keys with the most duplicates, then with the most callers.
    pub keys: Vec<KeyStats>,
}

/// The statistics of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyStats {
    /// The key, or its hash.
    pub key: String,
    /// Its flights.
    #[serde(flatten)]
    pub stats: Stats,
}

/// How a report names keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// By hash, as in the log.
    #[default]
    Hashed,
    /// In plain text.
    Shown,
}

impl Keys {
    fn name(self, key: &Call) -> String {
        match self {
            Self::Hashed => key.to_string(),
            Self::Shown => key.x().map_or_else(|| key.to_string(), str::to_owned),
        }
    }
}

/// All observations in progress.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    /// Written under the lock of `recordings`. A reader of a stale count misses a flight that ended just as the
    /// observation began.
    count: AtomicUsize,
    recordings: Mutex<Vec<Arc<Mutex<Recording>>>>,
}

/// An observation, which lasts until it is dropped.
#[derive(Debug)]
pub struct Observation {
    observers: Arc<Observers>,
    recording: Arc<Mutex<Recording>>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Recording {
    clients: BTreeMap<String, ClientRecording>,
    /// Keys of all clients.
    keys: usize,
}

#[derive(Debug, Default)]
struct ClientRecording {
    all: Stats,
    keys: HashMap<Call, Stats>,
}

impl Observers {
    /// Starts an observation, unless the maximum number is in progress.
    pub(crate) fn observe(self: &Arc<Self>) -> Option<Observation> {
        let mut all = lock(&self.recordings);
        if all.len() >= MAX_OBSERVATIONS {
            return None;
        }
        let recording = Arc::default();
        all.push(Arc::clone(&recording));
        self.count.store(all.len(), Ordering::Relaxed);
        Some(Observation {
            observers: Arc::clone(self),
            recording,
            began: Instant::now(),
        })
    }

    /// The number of observations in progress.
    pub(crate) fn in_progress(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Records a flight of `client` that has ended.
    pub(crate) fn record(&self, client: &str, flight: &FlightRecord<'_>) {
        if self.in_progress() == 0 {
            return;
        }
        for recording in &*lock(&self.recordings) {
            lock(recording).record(client, flight);
        }
    }
}

impl Recording {
    fn record(&mut self, client: &str, flight: &FlightRecord<'_>) {
        let of_client = self.clients.entry(client.to_owned()).or_default();
        of_client.all.add(flight);
        if let Some(of_key) = of_client.keys.get_mut(flight.call) {
            of_key.add(flight);
        } else if self.keys < MAX_KEYS {
            self.keys += 1;
            let of_key = of_client.keys.entry(flight.call.clone()).or_default();
            of_key.add(flight);
        }
    }
}

impl Observation {
    /// The report so far, with the `max_keys` busiest keys of each client.
    #[must_use]
    pub fn report(&self, max_keys: usize, keys: Keys) -> Report {
        // Copied first, so that flights which end meanwhile do not wait for the sorting.
        let copied: Vec<_> = lock(&self.recording)
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
                key: keys.name(&key),
                stats,
            };
            ClientStats {
                client,
                stats,
                keys_seen,
                keys: busiest.into_iter().take(max_keys).map(of_key).collect(),
            }
        };
        Report {
            seconds: self.began.elapsed().as_secs_f64(),
            clients: copied.into_iter().map(of_client).collect(),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let mut all = lock(&self.observers.recordings);
        all.retain(|recording| !Arc::ptr_eq(recording, &self.recording));
        self.observers.count.store(all.len(), Ordering::Relaxed);
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
    fn followers_save_what_flights_of_their_own_would_have_cost() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        observers.record("orders", &flight(&"42".into(), 3));
        let report = observation.report(10, Keys::Shown);
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
    fn callers_that_would_have_joined_would_save_what_their_flights_cost() {
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
        let stats = observation.report(10, Keys::Shown).clients[0].stats;
        assert_eq!((stats.callers, stats.flights), (3, 3));
        assert_eq!(stats.saved, Amount::default());
        assert_eq!(stats.would_save.upstream_requests, 4);
        assert_eq!((stats.equal, stats.unequal), (1, 1));
    }

    #[test]
    fn the_busiest_keys_come_first_and_are_named_by_hash_unless_requested() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for (key, callers) in [("rare", 1), ("busy", 5), ("busier", 7)] {
            observers.record("orders", &flight(&key.into(), callers));
        }
        let named = |most, keys| {
            let keys = observation.report(most, keys).clients[0].keys.clone();
            keys.into_iter().map(|of| of.key).collect::<Vec<_>>()
        };
        assert_eq!(named(2, Keys::Shown), ["busier", "busy"]);
        let hashed = ["busier", "busy", "rare"].map(|key| Call::from(key).to_string());
        assert_eq!(named(10, Keys::Hashed), hashed);
    }

    #[test]
    fn flights_of_keys_past_the_maximum_count_for_their_client_alone() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for number in 0..MAX_KEYS + 10 {
            observers.record("orders", &flight(&number.to_string().into(), 1));
        }
        let orders = &observation.report(1, Keys::Hashed).clients[0];
        assert_eq!(orders.keys_seen, MAX_KEYS);
        assert_eq!(orders.stats.flights, MAX_KEYS as u64 + 10);
    }

    #[test]
    fn a_dropped_observation_makes_room_for_another() {
        let observers = Arc::<Observers>::default();
        let mut all: Vec<_> = (0..MAX_OBSERVATIONS)
            .map(|_| observers.observe().unwrap())
            .collect();
        assert!(observers.observe().is_none());
        all.pop();
        assert!(observers.observe().is_some());
        all.clear();
        assert_eq!(observers.in_progress(), 0);
    }
}
