//! [`GuestMemory`]: what one instance holds. Its linear memories, its tables, and what the host holds for it all count
//! against its client's `max_memory_bytes`, and together with other instances against `max_total_memory_bytes`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::Limits;

/// What the host allocates for one element of a table: wasmtime stores a pointer.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// What an instance of a client with `limits` takes beside its memories and what its host resources contain, in bytes:
/// its stack (wasmtime's `max_wasm_stack` is 512 KiB), its state, and the table of host resources.
pub(super) fn bytes_beside_memory(limits: &Limits) -> usize {
    const STACK_AND_STATE: usize = (512 + 64) << 10;
    const RESOURCE: usize = 128;
    STACK_AND_STATE.saturating_add(limits.max_resources.saturating_mul(RESOURCE))
}

/// The memory of all instances of one client, running and idle.
#[derive(Debug)]
pub(super) struct TotalMemory {
    limit: usize,
    used: AtomicUsize,
}

impl TotalMemory {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.max_total_memory_bytes,
            used: AtomicUsize::new(0),
        }
    }

    /// The bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, if that many are left.
    fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one instance, until it is dropped.
///
/// Invariant: `beside`, `guest` and `host` are part of `total`, and `guest` and `host` together are at most `limit`.
pub(super) struct GuestMemory {
    total: Arc<TotalMemory>,
    limit: usize,
    beside: usize,
    /// Bytes of linear memories and tables.
    guest: usize,
    /// Bytes that the host holds for the guest, when they were last measured.
    host: usize,
    /// The most that the host has held in this flight.
    host_peak: usize,
    /// Why the guest got no more memory in this flight, if it did not.
    exceeded: Option<MemoryExceeded>,
}

impl GuestMemory {
    /// The memory of an instance that is about to be created.
    pub(super) fn new(limits: &Limits, total: &Arc<TotalMemory>) -> Result<Self, MemoryExceeded> {
        let beside = bytes_beside_memory(limits);
        if !total.take(beside) {
            return Err(MemoryExceeded::Total);
        }
        Ok(Self {
            total: Arc::clone(total),
            limit: limits.max_memory_bytes,
            beside,
            guest: 0,
            host: 0,
            host_peak: 0,
            exceeded: None,
        })
    }

    /// Begins the next flight of the instance, for which the memory that it has kept counts, too.
    pub(super) fn begin(&mut self) {
        self.exceeded = None;
        self.host_peak = self.host;
    }

    /// Adds `bytes` of a linear memory.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), MemoryExceeded> {
        self.change(self.guest.saturating_add(bytes), self.host)
    }

    /// Adds elements to a table.
    pub(super) fn grow_table(&mut self, elements: usize) -> Result<(), MemoryExceeded> {
        self.grow(elements.saturating_mul(TABLE_ELEMENT))
    }

    /// Sets what the host holds for the guest to `bytes`.
    pub(super) fn set_host(&mut self, bytes: usize) -> Result<(), MemoryExceeded> {
        if bytes == self.host {
            return Ok(());
        }
        self.change(self.guest, bytes)?;
        self.host_peak = self.host_peak.max(bytes);
        Ok(())
    }

    /// Whether there is room for an answer of `bytes`, which the host holds from now on instead of the instance.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.room()
    }

    /// How many bytes are left.
    pub(super) fn room(&self) -> usize {
        self.limit - self.guest - self.host
    }

    /// Records that the guest got no more memory, and returns whether that is the first time in this flight.
    pub(super) fn refuse(&mut self, exceeded: MemoryExceeded) -> bool {
        self.exceeded.replace(exceeded).is_none()
    }

    /// Why the guest got no more memory in this flight, if it did not.
    pub(super) fn exceeded(&self) -> Option<MemoryExceeded> {
        self.exceeded
    }

    /// The bytes of linear memories and tables. Neither shrinks.
    pub(super) fn guest(&self) -> usize {
        self.guest
    }

    /// The most that the host has held in this flight, in bytes.
    pub(super) fn host_peak(&self) -> usize {
        self.host_peak
    }

    /// Whether more than half of what the instance may hold is in use.
    pub(super) fn is_half_full(&self) -> bool {
        self.guest + self.host > self.limit / 2
    }

    fn change(&mut self, guest: usize, host: usize) -> Result<(), MemoryExceeded> {
        let (held, wanted) = (self.guest + self.host, guest.saturating_add(host));
        if wanted > held {
            if wanted > self.limit {
                return Err(MemoryExceeded::Execution);
            }
            if !self.total.take(wanted - held) {
                return Err(MemoryExceeded::Total);
            }
        } else {
            self.total.give_back(held - wanted);
        }
        (self.guest, self.host) = (guest, host);
        Ok(())
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.total.give_back(self.beside + self.guest + self.host);
    }
}

/// Which limit of memory a guest has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryExceeded {
    /// That of one execution.
    Execution,
    /// That of all executions of the client.
    Total,
}

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Execution => {
                "its memory, its tables and what the host holds for it exceed max_memory_bytes; raise max_memory_bytes \
                 to permit it"
            }
            Self::Total => {
                "the executions of the client together hold max_total_memory_bytes; raise max_total_memory_bytes, or \
                 lower max_executions"
            }
        })
    }
}

impl std::error::Error for MemoryExceeded {}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(limits: &Limits) -> Arc<TotalMemory> {
        Arc::new(TotalMemory::new(limits))
    }

    fn memory(limits: &Limits, total: &Arc<TotalMemory>) -> GuestMemory {
        GuestMemory::new(limits, total).unwrap()
    }

    fn limits(one: usize, all: usize) -> Limits {
        Limits {
            max_memory_bytes: one,
            max_total_memory_bytes: all,
            ..Limits::default()
        }
    }

    #[test]
    fn the_memory_of_the_guest_and_of_the_host_count_together() {
        let limits = limits(100, usize::MAX);
        let mut memory = memory(&limits, &total(&limits));
        memory.grow(60).unwrap();
        assert_eq!(memory.set_host(41), Err(MemoryExceeded::Execution));
        assert_eq!(memory.set_host(30), Ok(()));
        assert_eq!(memory.grow(11), Err(MemoryExceeded::Execution));
        assert!(memory.has_room(10) && !memory.has_room(11));
        // What the host no longer holds is available to the guest.
        assert_eq!(memory.set_host(0), Ok(()));
        assert_eq!(memory.grow(40), Ok(()));
        assert_eq!(memory.grow_table(1), Err(MemoryExceeded::Execution));
    }

    #[test]
    fn the_instances_of_a_client_share_its_total() {
        let beside = bytes_beside_memory(&Limits::default());
        let limits = limits(100, 2 * beside + 100);
        let total = total(&limits);
        let (mut one, mut other) = (memory(&limits, &total), memory(&limits, &total));
        one.grow(60).unwrap();
        assert_eq!(other.grow(41), Err(MemoryExceeded::Total));
        let third = GuestMemory::new(&limits, &total);
        assert_eq!(third.err(), Some(MemoryExceeded::Total));
        assert_eq!(other.set_host(40), Ok(()));
        drop(one);
        assert_eq!(total.used(), beside + 40);
        drop(other);
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn each_flight_of_an_instance_has_its_own_peak_and_refusal() {
        let limits = limits(100, usize::MAX);
        let mut memory = memory(&limits, &total(&limits));
        memory.grow(10).unwrap();
        memory.set_host(50).unwrap();
        memory.set_host(20).unwrap();
        assert_eq!((memory.guest(), memory.host_peak()), (10, 50));
        assert!(memory.refuse(MemoryExceeded::Execution));
        assert!(!memory.refuse(MemoryExceeded::Execution));
        memory.begin();
        assert_eq!((memory.host_peak(), memory.exceeded()), (20, None));
        assert!(memory.refuse(MemoryExceeded::Total));
        memory.set_host(30).unwrap();
        assert!(!memory.is_half_full());
        memory.grow(11).unwrap();
        assert!(memory.is_half_full());
    }
}
