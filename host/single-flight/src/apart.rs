//! Flights that nobody can join: superseded, stopping, or of callers that share nothing. They are kept
//! until their work is dropped, because they still count as executions of their key and a drain must
//! reach them. It does not know why a flight is here, nor end one.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, PoisonError};

use crate::FlightId;
use crate::flight::Flight;
use crate::name::{Keyed, Name, StoredHash};
use crate::sync::{Mutex, MutexGuard};

/// Flights that nobody can join, by key.
///
/// One lock for the whole group: only flights that were forgotten, outlived their join window or lost
/// their last caller come here, or where nothing is shared all of them.
pub(crate) struct Apart<K, V> {
    keys: Mutex<Keys<K, V>>,
}

type Keys<K, V> = HashMap<Name<K, V>, Executions<K, V>, BuildHasherDefault<StoredHash>>;

/// Executions of one key.
///
/// Invariant: there is at least one, and the name under which they are kept is one of them.
struct Executions<K, V> {
    /// The one that was alone when it came.
    first: FlightId,
    alive: BTreeMap<FlightId, Arc<Flight<K, V>>>,
}

impl<K, V> Apart<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            keys: Mutex::default(),
        }
    }

    /// Every flight that is here now.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight<K, V>>> {
        let keys = self.lock();
        let alive = keys
            .values()
            .flat_map(|executions| executions.alive.values());
        alive.map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Keys<K, V>> {
        // Nothing under this lock panics, so what a poisoned one guards is whole.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq, V> Apart<K, V> {
    /// Keeps a flight.
    pub(crate) fn insert(&self, flight: &Arc<Flight<K, V>>) {
        self.insert_if(flight, || Ok::<_, ()>(())).ok();
    }

    /// Keeps a flight if `admitted`, which is asked in the same step.
    pub(crate) fn insert_if<E>(
        &self,
        flight: &Arc<Flight<K, V>>,
        admitted: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.lock();
        admitted()?;
        let executions = keys.entry(Name(Arc::clone(flight)));
        let executions = executions.or_insert_with(|| Executions {
            first: flight.id,
            alive: BTreeMap::new(),
        });
        executions.alive.insert(flight.id, Arc::clone(flight));
        Ok(())
    }

    /// Takes a flight out that is over. Returns the flight that was here alone when this run of
    /// executions of its key began, if it is another one.
    pub(crate) fn remove(&self, flight: &Flight<K, V>) -> Option<FlightId> {
        let key: &dyn Keyed<K> = flight;
        let mut keys = self.lock();
        let (name, mut executions) = keys.remove_entry(key)?;
        let removed = executions.alive.remove(&flight.id);
        let first = executions.first;
        if let Some(other) = executions.alive.values().next() {
            // Under another name, as this one's flight may be the one that is over.
            keys.insert(Name(Arc::clone(other)), executions);
        }
        drop(keys);
        drop((name, removed));
        (first != flight.id).then_some(first)
    }

    /// How many executions of a key are here.
    pub(crate) fn executions(&self, key: &dyn Keyed<K>) -> usize {
        let keys = self.lock();
        keys.get(key).map_or(0, |executions| executions.alive.len())
    }
}
