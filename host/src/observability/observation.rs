//! [`Observation`]: who asks for what, and who asks for what somebody has just asked for; noted key by key,
//! for as long as somebody looks. Where nobody does, a flight costs one look at a count.
//!
//! Keys are shown as hashes unless the one who looks asks for the keys themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::{Call, FlightCost, FlightRecord};

/// The longest observation that is asked for over HTTP: 1 h. What lasts longer is a job for the figures.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// Observations at once: 10. Each holds a key and some figures for up to [`KEYS`] keys.
const OBSERVATIONS: usize = 10;

/// Keys that one observation tells apart: 10,000. Further ones are counted with their client alone.
const KEYS: usize = 10_000;

/// What callers came to, and what sharing made of it or would make of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Callers of flights that have ended.
    pub callers: u64,
    /// Those flights, each a call of the guest.
    pub flights: u64,
    /// What those took that landed: of one that was cancelled nobody knows it here.
    pub cost: Amount,
    /// Callers that joined a flight, and what flights of their own would have taken.
    pub saved: Amount,
    /// Callers that would have joined one, had they come to be shared, and what their own took.
    pub would_save: Amount,
    /// Answers that were equal to the one they would have been shared as.
    pub equal: u64,
    /// And those that were not.
    pub unequal: u64,
}

/// Calls, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Calls of the guest.
    pub calls: u64,
    /// Requests to upstreams.
    pub upstream_requests: u64,
    /// How long those took, together.
    pub upstream_seconds: f64,
    /// Processor time of guests.
    pub guest_seconds: f64,
}

impl Amount {
    /// As much as `calls` take that take `cost` each.
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
    /// Callers that were or could have been saved a call of their own.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.saved.calls + self.would_save.calls
    }

    fn note(&mut self, flight: &FlightRecord<'_>) {
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

/// What an observation has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How long it took.
    pub seconds: f64,
    /// The clients that had flights.
    pub clients: Vec<ClientStats>,
}

/// Of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientStats {
    /// Its name.
    pub client: String,
    /// All its flights.
    #[serde(flatten)]
    pub figures: Stats,
    /// How many keys they were for, as far as keys were told apart.
    pub keys_seen: usize,
    /// Those with the most duplicates, and of those with as many the ones with the most callers.
    pub keys: Vec<KeyStats>,
}

/// Of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyStats {
    /// The key, or its hash.
    pub key: String,
    /// Its flights.
    #[serde(flatten)]
    pub figures: Stats,
}

/// How a report names keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// By their hashes, as the log does.
    #[default]
    Hashed,
    /// As they are.
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

/// All observations that are going on.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    /// How many there are, written under the lock of `notes`. Who reads an older number misses a flight
    /// that ended as the observation began.
    count: AtomicUsize,
    notes: Mutex<Vec<Arc<Mutex<Notes>>>>,
}

/// An observation, which goes on until it is dropped.
#[derive(Debug)]
pub struct Observation {
    observers: Arc<Observers>,
    notes: Arc<Mutex<Notes>>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Notes {
    clients: BTreeMap<String, ClientNotes>,
    /// Keys of all clients.
    keys: usize,
}

#[derive(Debug, Default)]
struct ClientNotes {
    all: Stats,
    keys: HashMap<Call, Stats>,
}

impl Observers {
    /// Begins one, unless as many go on as may.
    pub(crate) fn observe(self: &Arc<Self>) -> Option<Observation> {
        let mut all = lock(&self.notes);
        if all.len() >= OBSERVATIONS {
            return None;
        }
        let notes = Arc::default();
        all.push(Arc::clone(&notes));
        self.count.store(all.len(), Ordering::Relaxed);
        Some(Observation {
            observers: Arc::clone(self),
            notes,
            began: Instant::now(),
        })
    }

    /// How many go on now.
    pub(crate) fn going_on(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A flight of `client` is over.
    pub(crate) fn note(&self, client: &str, flight: &FlightRecord<'_>) {
        if self.going_on() == 0 {
            return;
        }
        for notes in &*lock(&self.notes) {
            lock(notes).note(client, flight);
        }
    }
}

impl Notes {
    fn note(&mut self, client: &str, flight: &FlightRecord<'_>) {
        let of_client = self.clients.entry(client.to_owned()).or_default();
        of_client.all.note(flight);
        if let Some(of_key) = of_client.keys.get_mut(flight.call) {
            of_key.note(flight);
        } else if self.keys < KEYS {
            self.keys += 1;
            let of_key = of_client.keys.entry(flight.call.clone()).or_default();
            of_key.note(flight);
        }
    }
}

impl Observation {
    /// What was seen so far, with the `most` busiest keys of each client.
    #[must_use]
    pub fn report(&self, most: usize, keys: Keys) -> Report {
        // Copied first: flights that end meanwhile do not wait for what is done with it.
        let copied: Vec<_> = lock(&self.notes)
            .clients
            .iter()
            .map(|(client, of)| {
                let keys = of.keys.iter().map(|(key, figures)| (key.clone(), *figures));
                (client.clone(), of.all, keys.collect::<Vec<_>>())
            })
            .collect();
        let of_client = |(client, figures, mut busiest): (_, _, Vec<(Call, Stats)>)| {
            busiest.sort_unstable_by_key(|(_, figures)| {
                Reverse((figures.duplicates(), figures.callers))
            });
            let keys_seen = busiest.len();
            let of_key = |(key, figures)| KeyStats {
                key: keys.name(&key),
                figures,
            };
            ClientStats {
                client,
                figures,
                keys_seen,
                keys: busiest.into_iter().take(most).map(of_key).collect(),
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
        let mut all = lock(&self.observers.notes);
        all.retain(|notes| !Arc::ptr_eq(notes, &self.notes));
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
    fn what_was_saved_is_what_callers_who_joined_would_have_taken_themselves() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        observers.note("orders", &flight(&"42".into(), 3));
        let report = observation.report(10, Keys::Shown);
        let orders = &report.clients[0];
        assert_eq!(orders.client, "orders");
        let saved = Amount {
            calls: 2,
            upstream_requests: 4,
            upstream_seconds: 0.5,
            guest_seconds: 0.25,
        };
        let figures = orders.figures;
        assert_eq!((figures.callers, figures.flights), (3, 1));
        assert_eq!(
            (figures.saved, figures.would_save),
            (saved, Amount::default())
        );
        assert_eq!(figures.cost.upstream_requests, 2);
    }

    #[test]
    fn what_would_be_saved_is_what_callers_took_who_would_have_joined() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        let key = "42".into();
        observers.note("orders", &flight(&key, 1));
        for equal in [true, false] {
            let twin = FlightRecord {
                would_have_joined: true,
                equal: Some(equal),
                ..flight(&key, 1)
            };
            observers.note("orders", &twin);
        }
        let figures = observation.report(10, Keys::Shown).clients[0].figures;
        assert_eq!((figures.callers, figures.flights), (3, 3));
        assert_eq!(figures.saved, Amount::default());
        assert_eq!(figures.would_save.upstream_requests, 4);
        assert_eq!((figures.equal, figures.unequal), (1, 1));
    }

    #[test]
    fn the_busiest_keys_come_first_and_are_named_by_their_hashes_unless_they_are_asked_for() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for (key, callers) in [("rare", 1), ("busy", 5), ("busier", 7)] {
            observers.note("orders", &flight(&key.into(), callers));
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
    fn past_a_number_of_keys_flights_count_for_their_client_alone() {
        let observers = Arc::<Observers>::default();
        let observation = observers.observe().unwrap();
        for number in 0..KEYS + 10 {
            observers.note("orders", &flight(&number.to_string().into(), 1));
        }
        let orders = &observation.report(1, Keys::Hashed).clients[0];
        assert_eq!(orders.keys_seen, KEYS);
        assert_eq!(orders.figures.flights, KEYS as u64 + 10);
    }

    #[test]
    fn there_are_only_so_many_at_once_and_one_that_has_ended_makes_room() {
        let observers = Arc::<Observers>::default();
        let mut all: Vec<_> = (0..OBSERVATIONS)
            .map(|_| observers.observe().unwrap())
            .collect();
        assert!(observers.observe().is_none());
        all.pop();
        assert!(observers.observe().is_some());
        all.clear();
        assert_eq!(observers.going_on(), 0);
    }
}
