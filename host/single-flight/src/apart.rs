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
use crate::table::Takes;

/// Flights that nobody can join, by key.
///
/// One lock for the whole group: only flights that were superseded, forgotten, outlived their join window
/// or lost their last caller come here, or where nothing is shared all of them.
pub(crate) struct Apart<K, V> {
    keys: Mutex<Keys<K, V>>,
}

struct Keys<K, V>(HashMap<Name<K, V>, Executions<K, V>, BuildHasherDefault<StoredHash>>);

/// Executions of one key.
///
/// Invariant: there is at least one, and the name under which they are kept is one of them.
struct Executions<K, V> {
    /// The one that came when its predecessor was over, or the last since then whose caller takes none but its
    /// own: the one that would be open, were they shared. It may be over.
    head: FlightId,
    alive: BTreeMap<FlightId, Kept<K, V>>,
}

struct Kept<K, V> {
    flight: Arc<Flight<K, V>>,
    /// The head when it came, if it is another one.
    would_have_joined: Option<FlightId>,
}

impl<K, V> Apart<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            keys: Mutex::new(Keys(HashMap::default())),
        }
    }

    /// Every flight that is here now.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight<K, V>>> {
        let keys = self.lock();
        let alive = keys
            .0
            .values()
            .flat_map(|executions| executions.alive.values());
        alive.map(|kept| Arc::clone(&kept.flight)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Keys<K, V>> {
        // Nothing under this lock panics, so what a poisoned one guards is whole.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq, V> Apart<K, V> {
    /// Keeps a flight.
    pub(crate) fn insert(&self, flight: &Arc<Flight<K, V>>) {
        self.lock().keep(Arc::clone(flight), Takes::Open);
    }

    /// Keeps a flight of a caller that shares nothing, if `admitted`, which is asked in the same step.
    pub(crate) fn insert_if<E>(
        &self,
        flight: &Arc<Flight<K, V>>,
        takes: Takes,
        admitted: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.lock();
        admitted()?;
        keys.keep(Arc::clone(flight), takes);
        Ok(())
    }

    /// Keeps the flight of a key that `unlist` takes from where callers find it, in the same step: nobody
    /// finds it in neither place. It is told how many executions of the key are here.
    pub(crate) fn insert_unlisted<E>(
        &self,
        key: &dyn Keyed<K>,
        unlist: impl FnOnce(usize) -> Result<Arc<Flight<K, V>>, E>,
    ) -> Result<(), E> {
        let mut keys = self.lock();
        let flight = unlist(keys.executions(key))?;
        keys.keep(flight, Takes::Open);
        Ok(())
    }

    /// Takes a flight out that is over. Returns the flight that its caller would have joined, had it come
    /// to be shared.
    pub(crate) fn remove(&self, flight: &Flight<K, V>) -> Option<FlightId> {
        let key: &dyn Keyed<K> = flight;
        let mut keys = self.lock();
        let (name, mut executions) = keys.0.remove_entry(key)?;
        let removed = executions.alive.remove(&flight.id);
        if let Some(other) = executions.alive.values().next() {
            // Under another name, as this one's flight may be the one that is over.
            keys.0.insert(Name(Arc::clone(&other.flight)), executions);
        }
        drop(keys);
        drop(name);
        removed?.would_have_joined
    }

    /// How many executions of a key are here.
    pub(crate) fn executions(&self, key: &dyn Keyed<K>) -> usize {
        self.lock().executions(key)
    }
}

impl<K: Eq, V> Keys<K, V> {
    /// Keeps a flight. What its caller takes matters only where nothing is shared.
    fn keep(&mut self, flight: Arc<Flight<K, V>>, takes: Takes) {
        let id = flight.id;
        let executions = self.0.entry(Name(Arc::clone(&flight)));
        let executions = executions.or_insert_with(|| Executions {
            head: id,
            alive: BTreeMap::new(),
        });
        // One that is over would be joined by nobody: this one would have been opened in its place.
        if takes == Takes::Own || !executions.alive.contains_key(&executions.head) {
            executions.head = id;
        }
        let would_have_joined = Some(executions.head).filter(|head| *head != id);
        let kept = Kept {
            flight,
            would_have_joined,
        };
        executions.alive.insert(id, kept);
    }

    fn executions(&self, key: &dyn Keyed<K>) -> usize {
        let executions = self.0.get(key);
        executions.map_or(0, |executions| executions.alive.len())
    }
}
