//! The address space and the memory mappings that instances take: what the pools of this process have reserved, and how
//! much there is.
//!
//! Code runs without bounds checks, so that each linear memory takes 4 GiB of addresses and a guard region, whatever its
//! size. A pool reserves them for all executions of a client at once. Only addresses are reserved; memory is used as
//! guests touch it.

use std::fs;
use std::ops::{Add, Mul};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};

/// The addresses of one linear memory: wasmtime's defaults for its reservation and its guard region.
const MEMORY_BYTES: u64 = (4 << 30) + (32 << 20);

/// The mappings of one linear memory: its guard region, its initial content and the rest.
const MEMORY_MAPPINGS: u64 = 3;

/// The addresses of the stack of one execution with its guard page, generously.
const STACK_BYTES: u64 = 4 << 20;

/// The mappings of that stack.
const STACK_MAPPINGS: u64 = 2;

/// What Linux grants to a process unless `vm.max_map_count` is set.
const DEFAULT_MAPPINGS: u64 = 65_530;

/// What pools have reserved. They reserve at most half of what there is: the rest is for instances that are allocated on
/// demand, and for everything else.
static RESERVED: Mutex<AddressSpace> = Mutex::new(AddressSpace {
    bytes: 0,
    mappings: 0,
});

/// An amount of address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressSpace {
    /// Addresses, in bytes.
    pub bytes: u64,
    /// Memory mappings.
    pub mappings: u64,
}

impl AddressSpace {
    /// What one execution with this many memories and elements of tables takes.
    pub(super) fn of_execution(memories: usize, elements: usize) -> Self {
        let memories = memories as u64;
        Self {
            bytes: memories
                .saturating_mul(MEMORY_BYTES)
                .saturating_add((elements as u64).saturating_mul(8))
                .saturating_add(STACK_BYTES),
            mappings: memories
                .saturating_mul(MEMORY_MAPPINGS)
                .saturating_add(STACK_MAPPINGS),
        }
    }

    /// What this process may use: the addresses of the processor, or the limit of the process (`RLIMIT_AS`), and the
    /// system's limit of mappings (`vm.max_map_count`).
    #[must_use]
    pub fn available() -> Self {
        let of_processor = if cfg!(target_arch = "x86_64") {
            1 << 47
        } else {
            1 << 48
        };
        let of_process = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
        let mappings = fs::read_to_string("/proc/sys/vm/max_map_count");
        let mappings = mappings.ok().and_then(|text| text.trim().parse().ok());
        Self {
            bytes: of_process.min(of_processor),
            mappings: mappings.unwrap_or(DEFAULT_MAPPINGS),
        }
    }

    /// Whether this is not more than `other`.
    #[must_use]
    pub fn fits_in(self, other: Self) -> bool {
        self.bytes <= other.bytes && self.mappings <= other.mappings
    }
}

impl Add for AddressSpace {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            mappings: self.mappings.saturating_add(other.mappings),
        }
    }
}

impl Mul<usize> for AddressSpace {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        Self {
            bytes: self.bytes.saturating_mul(times as u64),
            mappings: self.mappings.saturating_mul(times as u64),
        }
    }
}

/// Reserved address space. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation(AddressSpace);

impl Reservation {
    /// Reserves `amount`, if pools may have that much more.
    pub(super) fn new(amount: AddressSpace) -> Option<Self> {
        let available = AddressSpace::available();
        let mut reserved = reserved();
        let sum = *reserved + amount;
        if !(sum * 2).fits_in(available) {
            return None;
        }
        *reserved = sum;
        Some(Self(amount))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = reserved();
        reserved.bytes -= self.0.bytes;
        reserved.mappings -= self.0.mappings;
    }
}

fn reserved() -> MutexGuard<'static, AddressSpace> {
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_reserve_at_most_half_and_what_is_dropped_is_free_again() {
        let AddressSpace { bytes, mappings } = AddressSpace::available();
        let of = |bytes, mappings| AddressSpace { bytes, mappings };
        // Other tests reserve at the same time, but far less than an eighth.
        assert!(Reservation::new(of(bytes / 8 * 5, 0)).is_none());
        assert!(Reservation::new(of(0, mappings / 8 * 5)).is_none());
        let most = Reservation::new(of(bytes / 8 * 3, mappings / 8 * 3)).unwrap();
        assert!(Reservation::new(of(bytes / 8 * 2, 0)).is_none());
        assert!(Reservation::new(of(0, mappings / 8 * 2)).is_none());
        drop(most);
        assert!(Reservation::new(of(bytes / 8 * 2, mappings / 8 * 2)).is_some());
    }

    #[test]
    fn a_client_with_default_limits_and_one_memory_takes_a_tebibyte() {
        let needed = AddressSpace::of_execution(1, 0) * 257;
        assert_eq!((needed.bytes >> 40, needed.mappings), (1, 1_285));
        let most = AddressSpace::of_execution(usize::MAX, 8) * 2;
        assert_eq!((most.bytes, most.mappings), (u64::MAX, u64::MAX));
    }
}
