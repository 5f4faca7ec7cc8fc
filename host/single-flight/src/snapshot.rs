//! A read-only view of a flight, for metrics and dashboards.

use std::time::Duration;

use crate::id::FlightId;

/// The state of a flight at one moment. See [`Group::visit`](crate::Group::visit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightSnapshot {
    /// The flight.
    pub flight: FlightId,
    /// The number of callers on it now, without those that have left.
    pub callers: usize,
    /// How long ago it opened, by the group's clock. `None` if the group has neither a
    /// [join window](crate::Policy::join_window) nor an observer, and therefore reads no clock.
    pub age: Option<Duration>,
    /// Whether a call for its key joins it: it is not superseded, not stopping and within the join window.
    pub joinable: bool,
}
