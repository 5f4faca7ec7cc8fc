//! [`GuestMemory`]: what one instance holds. Its linear memories, its tables, and what the host holds for it all count
//! against its client's `max_memory_bytes`, and together with other instances against `max_total_memory_bytes`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::flight_context::FlightContext;
use crate::model::{Limit, Limits};

/// What an instance takes beside its memories: its stack (wasmtime's `max_wasm_stack` is 512 KiB), its state, and the
/// tables of its host resources and handles.
pub(super) const BYTES_BESIDE_MEMORY: usize = (512 + 64) << 10;

/// What the host allocates for one element of a table: wasmtime stores a pointer.
const TABLE_ELEMENT: usize = size_of::<usize>();

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
/// Invariant: `guest` and `host` together are part of `total`, and at most `limit`.
pub(super) struct GuestMemory {
    total: Arc<TotalMemory>,
    limit: usize,
    /// Bytes of linear memories and tables.
    guest: usize,
    /// Bytes that the host holds for the guest, when they were last measured.
    host: usize,
    /// The most that the host has held in this flight.
    host_peak: usize,
    /// Whether the guest reached a limit in this flight.
    exceeded: Option<MemoryExceeded>,
    context: FlightContext,
}

impl GuestMemory {
    /// The memory of an instance that is about to be created.
    pub(super) fn new(
        limits: &Limits,
        total: &Arc<TotalMemory>,
        context: &FlightContext,
    ) -> Result<Self, MemoryExceeded> {
        if !total.take(BYTES_BESIDE_MEMORY) {
            return Err(MemoryExceeded::Total);
        }
        Ok(Self {
            total: Arc::clone(total),
            limit: limits.max_memory_bytes,
            guest: 0,
            host: 0,
            host_peak: 0,
            exceeded: None,
            context: context.clone(),
        })
    }

    /// Begins the next flight of the instance, for which the memory that it has kept counts, too.
    pub(super) fn begin(&mut self, context: &FlightContext) {
        self.context = context.clone();
        self.exceeded = None;
        self.host_peak = self.host;
        self.context.record_guest_memory(self.guest);
        self.context.record_host_memory(self.host);
    }

    /// Adds `bytes` of a linear memory. The guest sees that its memory does not grow where that fails.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let had = self.exceeded.is_some();
        match self.change(self.guest.saturating_add(bytes), self.host) {
            Ok(()) => {
                self.context.record_guest_memory(self.guest);
                true
            }
            // One line for each flight: a guest may try again and again.
            Err(exceeded) => {
                if !had {
                    self.log(exceeded);
                }
                false
            }
        }
    }

    /// Adds elements to a table.
    pub(super) fn grow_table(&mut self, elements: usize) -> bool {
        self.grow(elements.saturating_mul(TABLE_ELEMENT))
    }

    /// Sets what the host holds for the guest to `bytes`. The flight ends where that fails.
    pub(super) fn set_host(&mut self, bytes: usize) -> Result<(), MemoryExceeded> {
        if bytes == self.host {
            return Ok(());
        }
        self.change(self.guest, bytes)?;
        if bytes > self.host_peak {
            self.host_peak = bytes;
            self.context.record_host_memory(bytes);
        }
        Ok(())
    }

    /// Adds the answer of the guest, of `bytes`, to what the host holds.
    pub(super) fn add_answer(&mut self, bytes: usize) -> Result<(), MemoryExceeded> {
        let added = self.set_host(self.host.saturating_add(bytes));
        added.inspect_err(|exceeded| self.log(*exceeded))
    }

    /// Why the guest got no more memory in this flight, if it did not.
    pub(super) fn exceeded(&self) -> Option<MemoryExceeded> {
        self.exceeded
    }

    /// Whether more than half of what the instance may hold is in use.
    pub(super) fn is_half_full(&self) -> bool {
        self.guest + self.host > self.limit / 2
    }

    fn change(&mut self, guest: usize, host: usize) -> Result<(), MemoryExceeded> {
        let (held, wanted) = (self.guest + self.host, guest.saturating_add(host));
        let exceeded = if wanted > held && wanted > self.limit {
            Some(MemoryExceeded::Execution)
        } else if wanted > held && !self.total.take(wanted - held) {
            Some(MemoryExceeded::Total)
        } else {
            None
        };
        if let Some(exceeded) = exceeded {
            if self.exceeded.replace(exceeded).is_none() {
                self.context.metrics().limit(Limit::Memory);
            }
            return Err(exceeded);
        }
        self.total.give_back(held.saturating_sub(wanted));
        (self.guest, self.host) = (guest, host);
        Ok(())
    }

    fn log(&self, exceeded: MemoryExceeded) {
        let Self { guest, host, .. } = self;
        tracing::warn!(guest, host, "the guest got no more memory: {exceeded}");
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.total
            .give_back(BYTES_BESIDE_MEMORY + self.guest + self.host);
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
        GuestMemory::new(limits, total, &FlightContext::default()).unwrap()
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
        assert!(memory.grow(60));
        assert_eq!(memory.set_host(41), Err(MemoryExceeded::Execution));
        assert_eq!(memory.exceeded(), Some(MemoryExceeded::Execution));
        assert_eq!(memory.set_host(40), Ok(()));
        assert!(!memory.grow(1));
        // What the host no longer holds is available to the guest.
        assert_eq!(memory.set_host(0), Ok(()));
        assert!(memory.grow(40));
        assert!(!memory.grow_table(1));
        assert_eq!(memory.add_answer(1), Err(MemoryExceeded::Execution));
    }

    #[test]
    fn the_instances_of_a_client_share_its_total() {
        let limits = limits(100, 2 * BYTES_BESIDE_MEMORY + 100);
        let total = total(&limits);
        let (mut one, mut other) = (memory(&limits, &total), memory(&limits, &total));
        assert!(one.grow(60));
        assert!(!other.grow(41));
        assert_eq!(other.exceeded(), Some(MemoryExceeded::Total));
        let third = GuestMemory::new(&limits, &total, &FlightContext::default());
        assert_eq!(third.err(), Some(MemoryExceeded::Total));
        assert_eq!(other.set_host(40), Ok(()));
        drop(one);
        assert_eq!(total.used(), BYTES_BESIDE_MEMORY + 40);
        drop(other);
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn each_flight_of_an_instance_has_its_own_peaks() {
        let limits = limits(100, usize::MAX);
        let mut memory = memory(&limits, &total(&limits));
        memory.grow(10);
        memory.set_host(50).unwrap();
        memory.set_host(20).unwrap();
        let next = FlightContext::default();
        memory.begin(&next);
        assert_eq!(
            (next.cost().guest_memory, next.cost().host_memory),
            (10, 20)
        );
        memory.set_host(30).unwrap();
        assert!(!memory.is_half_full());
        memory.grow(11);
        assert_eq!(
            (next.cost().guest_memory, next.cost().host_memory),
            (21, 30)
        );
        assert!(memory.is_half_full());
    }
}
