//! [`CacheKey`]: the key of an entry.

use std::hash::{Hash, Hasher};

use ring::digest::{Context, SHA256, digest};
use wasmtime::Engine as Wasmtime;

use crate::settings::CompileLimits;

/// The key of an entry: a digest of everything that its code depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::component::compile) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of the component, wasmtime's version and settings, this program's version, and `limits`.
    pub(in crate::component::compile) fn new(
        binary: &[u8],
        wasmtime: &Wasmtime,
        limits: &CompileLimits,
    ) -> Self {
        let mut hasher = Sha256(Context::new(&SHA256));
        hasher.write(digest(&SHA256, binary).as_ref());
        wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        // A component that passed other limits is checked again.
        limits.hash(&mut hasher);
        Self(to_bytes(hasher.0.finish()))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A hasher whose whole output of 256 bits is used: two components whose keys collide would run each other's code.
struct Sha256(Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = to_bytes(self.0.clone().finish());
        digest
            .iter()
            .take(8)
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

fn to_bytes(digest: ring::digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
impl CacheKey {
    pub(super) fn of_bytes(byte: u8) -> Self {
        Self([byte; 32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_depends_on_the_component_the_settings_of_wasmtime_and_the_limits() {
        let engine = |epochs| {
            let mut config = wasmtime::Config::new();
            config.epoch_interruption(epochs);
            Wasmtime::new(&config).unwrap()
        };
        let limits = CompileLimits::default();
        let others = CompileLimits {
            max_functions: 1,
            ..limits.clone()
        };
        let key = CacheKey::new(b"a", &engine(true), &limits);
        assert_eq!(key, CacheKey::new(b"a", &engine(true), &limits));
        assert_ne!(key, CacheKey::new(b"b", &engine(true), &limits));
        assert_ne!(key, CacheKey::new(b"a", &engine(false), &limits));
        assert_ne!(key, CacheKey::new(b"a", &engine(true), &others));
    }
}
