//! Hashing for maps whose keys carry a hash that was computed beforehand.

use std::hash::Hasher;

/// A hasher that returns the one `u64` that is written to it.
#[derive(Default)]
pub(crate) struct StoredHash(u64);

impl Hasher for StoredHash {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a map entry writes its stored hash and nothing else");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
