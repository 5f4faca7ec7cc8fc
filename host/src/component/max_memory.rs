//! [`MaxMemory`]: the most memory that a client's limits allow it to take.

use super::engine::max_kept_bytes;
use super::memory::bytes_beside_memory;
use crate::model::Limits;

/// What the host holds for an open flight and its key beside its instance: the table's entry, its task, and its span.
const FLIGHT: usize = 4 << 10;

/// The buffers of an idle connection to an upstream, with TLS.
const IDLE_CONNECTION: usize = 64 << 10;

/// The most memory that a client's limits allow it to take, in bytes, by what takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxMemory {
    /// Its instances, running and idle, and what the host holds for them.
    pub instances: usize,
    /// Pages that the pool keeps of instances that have ended.
    pub kept_pages: usize,
    /// The compiled code of the component.
    pub code: usize,
    /// Open flights and idle connections to upstreams.
    pub flights: usize,
}

impl MaxMemory {
    /// What a client with `limits` may take. Its component has `memories` linear memories and `code` bytes of compiled
    /// code, and its instances are in a pool if it `is_pooled`.
    pub(super) fn new(limits: &Limits, memories: usize, code: usize, is_pooled: bool) -> Self {
        let one = limits
            .max_memory_bytes
            .saturating_add(bytes_beside_memory(limits));
        let all = one.saturating_mul(limits.max_executions);
        let kept = if is_pooled {
            max_kept_bytes(limits, memories)
        } else {
            0
        };
        let flight = limits.max_key_bytes.saturating_add(FLIGHT);
        let flights = limits.max_flights.saturating_mul(flight);
        let connections = limits.max_connections.saturating_mul(IDLE_CONNECTION);
        Self {
            instances: limits.max_total_memory_bytes.min(all),
            kept_pages: kept,
            code,
            flights: flights.saturating_add(connections),
        }
    }
}
