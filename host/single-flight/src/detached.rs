//! Flights that no caller can join: superseded, stopping, or opened in observe mode. They are kept until
//! their work is dropped, because they still count as executions of their key and a drain must reach
//! them. This module neither decides that a flight is detached nor ends one.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, PoisonError};

use crate::entry::{HashedKey, TableEntry};
use crate::flight::Flight;
use crate::hash::StoredHash;
use crate::id::FlightId;
use crate::sync::{Mutex, MutexGuard};

/// Whether a call may join an open flight. Matters here in observe mode only.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum CallMode {
    /// It joins the open flight, or opens one if there is none.
    Join,
    /// It always opens a flight.
    Fresh,
}

/// Flights that no caller can join, by key.
///
/// One lock for the whole group. Only flights that were superseded or forgotten, outlived their join
/// window or lost their last caller come here, and in observe mode all of them.
pub(crate) struct Detached<K, V> {
    keys: Mutex<ByKey<K, V>>,
}

struct ByKey<K, V>(HashMap<TableEntry<K, V>, Executions<K, V>, BuildHasherDefault<StoredHash>>);

/// Executions of one key.
///
/// Invariant: there is at least one, and the map entry that they are stored under is one of them.
struct Executions<K, V> {
    /// The flight that would be open if callers shared. A flight becomes the head when it opens, if it is
    /// fresh or if the head before it has ended. The head may have ended.
    head: FlightId,
    alive: BTreeMap<FlightId, DetachedFlight<K, V>>,
}

struct DetachedFlight<K, V> {
    flight: Arc<Flight<K, V>>,
    /// The head when this flight was inserted, if that is another one.
    would_have_joined: Option<FlightId>,
}

impl<K, V> Detached<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            keys: Mutex::new(ByKey(HashMap::default())),
        }
    }

    /// All flights.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight<K, V>>> {
        let keys = self.lock();
        let alive = keys
            .0
            .values()
            .flat_map(|executions| executions.alive.values());
        alive.map(|detached| Arc::clone(&detached.flight)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ByKey<K, V>> {
        // Nothing under this lock panics, so a poisoned lock guards consistent state.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq, V> Detached<K, V> {
    pub(crate) fn insert(&self, flight: &Arc<Flight<K, V>>) {
        self.lock().insert(Arc::clone(flight), CallMode::Join);
    }

    /// Inserts a flight of observe mode if `admit` succeeds. Both happen under one lock.
    pub(crate) fn insert_if<E>(
        &self,
        flight: &Arc<Flight<K, V>>,
        mode: CallMode,
        admit: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.lock();
        admit()?;
        keys.insert(Arc::clone(flight), mode);
        Ok(())
    }

    /// Inserts the flight of `key` that `unlist` removes from the list of open flights. Both happen under
    /// one lock, so a search through the open flights and then through these always finds the flight.
    /// `unlist` receives the number of executions of the key that are here.
    pub(crate) fn insert_unlisted<E>(
        &self,
        key: &dyn HashedKey<K>,
        unlist: impl FnOnce(usize) -> Result<Arc<Flight<K, V>>, E>,
    ) -> Result<(), E> {
        let mut keys = self.lock();
        let flight = unlist(keys.executions(key))?;
        keys.insert(flight, CallMode::Join);
        Ok(())
    }

    /// Removes a flight that has ended. In observe mode, returns the flight that its caller would have
    /// joined.
    pub(crate) fn remove(&self, flight: &Flight<K, V>) -> Option<FlightId> {
        let key: &dyn HashedKey<K> = flight;
        let mut keys = self.lock();
        let (entry, mut executions) = keys.0.remove_entry(key)?;
        let removed = executions.alive.remove(&flight.id);
        if let Some(other) = executions.alive.values().next() {
            // Under another entry, because the previous one may be the flight that has ended.
            keys.0
                .insert(TableEntry(Arc::clone(&other.flight)), executions);
        }
        drop(keys);
        drop(entry);
        removed?.would_have_joined
    }

    /// The number of executions of a key that are here.
    pub(crate) fn executions(&self, key: &dyn HashedKey<K>) -> usize {
        self.lock().executions(key)
    }
}

impl<K: Eq, V> ByKey<K, V> {
    fn insert(&mut self, flight: Arc<Flight<K, V>>, mode: CallMode) {
        let id = flight.id;
        let executions = self.0.entry(TableEntry(Arc::clone(&flight)));
        let executions = executions.or_insert_with(|| Executions {
            head: id,
            alive: BTreeMap::new(),
        });
        // No call would have joined a head that has ended: this flight would have been opened instead.
        if mode == CallMode::Fresh || !executions.alive.contains_key(&executions.head) {
            executions.head = id;
        }
        let would_have_joined = Some(executions.head).filter(|head| *head != id);
        let detached = DetachedFlight {
            flight,
            would_have_joined,
        };
        executions.alive.insert(id, detached);
    }

    fn executions(&self, key: &dyn HashedKey<K>) -> usize {
        let executions = self.0.get(key);
        executions.map_or(0, |executions| executions.alive.len())
    }
}
