//! [`Usage`]: what a client uses now, and has used so far.

/// What a client uses now, and has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls of the guest so far.
    pub guest_calls: u64,
    /// Requests to upstreams so far that the client's policy allowed.
    pub upstream_requests: u64,
    /// Flights that wait for a permit to execute.
    pub waiting: usize,
    /// Calls of the guest that run, each with its store.
    pub running: usize,
    /// Those of them whose guest computes or waits for its turn to compute. A client that is not in the way of others
    /// has none.
    pub computing: usize,
    /// Idle instances in the pool.
    pub idle: usize,
    /// Memory of all instances, running and idle, in bytes: that of the guests, and what the host holds for them.
    pub memory: usize,
    /// Connections to upstreams: in use, idle, or being established.
    pub connections: usize,
}
