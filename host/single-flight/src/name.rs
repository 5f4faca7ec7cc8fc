//! By what a map finds a flight: its key, with the hash that was computed once. The key lives in the
//! flight and nowhere else.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::Arc;

use crate::flight::Flight;

/// A key and its hash, wherever they are.
pub(crate) trait Keyed<K> {
    fn key(&self) -> &K;
    fn hash(&self) -> u64;
}

/// A key that is asked for.
pub(crate) struct Asked<'a, K> {
    pub(crate) key: &'a K,
    pub(crate) hash: u64,
}

/// A flight in a map: equal to whatever has its key.
pub(crate) struct Name<K, V>(pub(crate) Arc<Flight<K, V>>);

impl<K, V> Clone for Name<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Keyed<K> for Asked<'_, K> {
    fn key(&self) -> &K {
        self.key
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<K, V> Keyed<K> for Flight<K, V> {
    fn key(&self) -> &K {
        &self.key
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<'a, K: 'a, V: 'a> Borrow<dyn Keyed<K> + 'a> for Name<K, V> {
    fn borrow(&self) -> &(dyn Keyed<K> + 'a) {
        &*self.0
    }
}

impl<K> Hash for dyn Keyed<K> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(Keyed::hash(self));
    }
}

impl<K: Eq> PartialEq for dyn Keyed<K> + '_ {
    fn eq(&self, other: &Self) -> bool {
        // A flight is looked for more often than any other key, and is found without the key's `Eq`.
        ptr::eq(self.key(), other.key())
            || (Keyed::hash(self) == Keyed::hash(other) && self.key() == other.key())
    }
}

impl<K: Eq> Eq for dyn Keyed<K> + '_ {}

impl<K, V> Hash for Name<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl<K: Eq, V> PartialEq for Name<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let (one, other): (&dyn Keyed<K>, &dyn Keyed<K>) = (&*self.0, &*other.0);
        one == other
    }
}

impl<K: Eq, V> Eq for Name<K, V> {}

/// Passes on the hash that was stored.
#[derive(Default)]
pub(crate) struct StoredHash(u64);

impl Hasher for StoredHash {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a name hashes as its stored hash");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
