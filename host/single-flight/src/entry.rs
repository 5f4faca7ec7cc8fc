//! How a map finds a flight: by its key, with the hash that was computed once for the call. The key is
//! stored in the flight and nowhere else.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::Arc;

use crate::flight::Flight;

/// A key with its hash, independent of where the two are stored.
pub(crate) trait HashedKey<K> {
    fn key(&self) -> &K;
    fn hash(&self) -> u64;
}

/// A key to look up.
pub(crate) struct Lookup<'a, K> {
    pub(crate) key: &'a K,
    pub(crate) hash: u64,
}

/// A flight as the key of a map: equal to everything that has the same key.
pub(crate) struct TableEntry<K, V>(pub(crate) Arc<Flight<K, V>>);

impl<K, V> Clone for TableEntry<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> HashedKey<K> for Lookup<'_, K> {
    fn key(&self) -> &K {
        self.key
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<K, V> HashedKey<K> for Flight<K, V> {
    fn key(&self) -> &K {
        &self.key
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<'a, K: 'a, V: 'a> Borrow<dyn HashedKey<K> + 'a> for TableEntry<K, V> {
    fn borrow(&self) -> &(dyn HashedKey<K> + 'a) {
        &*self.0
    }
}

impl<K> Hash for dyn HashedKey<K> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(HashedKey::hash(self));
    }
}

impl<K: Eq> PartialEq for dyn HashedKey<K> + '_ {
    fn eq(&self, other: &Self) -> bool {
        // Most lookups are for a flight that is in the map, and then need no `Eq` of the key.
        ptr::eq(self.key(), other.key())
            || (HashedKey::hash(self) == HashedKey::hash(other) && self.key() == other.key())
    }
}

impl<K: Eq> Eq for dyn HashedKey<K> + '_ {}

impl<K, V> Hash for TableEntry<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl<K: Eq, V> PartialEq for TableEntry<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let (one, other): (&dyn HashedKey<K>, &dyn HashedKey<K>) = (&*self.0, &*other.0);
        one == other
    }
}

impl<K: Eq, V> Eq for TableEntry<K, V> {}
