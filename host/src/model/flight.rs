//! What callers, metrics and observations learn of a flight.

use std::time::Duration;

use single_flight::{FlightId, Role};

use super::call::Call;

/// How one caller took part in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightInfo {
    /// The flight.
    pub flight: FlightId,
    /// Whether this caller opened the flight or joined it.
    pub role: Role,
    /// How many callers the flight had in all, including those that left before it landed.
    pub callers: usize,
}

/// What a flight cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlightCost {
    /// Requests that were sent to upstreams.
    pub requests: usize,
    /// The sum of the times that those requests were open.
    pub upstream: Duration,
    /// Processor time of the guest, and of the host's work for it.
    pub guest: Duration,
    /// The most memory that the guest had: its linear memories and tables, in bytes.
    pub guest_memory: usize,
    /// The most that the host held for the guest, in bytes: its resources, and the buffers of its requests.
    pub host_memory: usize,
}

/// A flight that has ended, as observations record it.
#[derive(Clone, Copy, Debug)]
pub struct FlightRecord<'a> {
    /// What was called.
    pub call: &'a Call,
    /// All callers that the flight ever had.
    pub callers: usize,
    /// What it cost.
    pub cost: FlightCost,
    /// Whether its one caller would have joined another flight, if calls were shared.
    pub would_have_joined: bool,
    /// Whether its answer equals that of the flight which it would have joined, if the two were compared.
    pub equal: Option<bool>,
}
