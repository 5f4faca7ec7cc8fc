//! A flight that is under way, as a [`Group`](crate::Group) shows it. It says how the flight is, and can
//! do nothing to it.

use std::time::Duration;

use crate::FlightId;

/// A flight that is under way, as it was when it was looked at. See [`Group::visit`](crate::Group::visit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightSnapshot {
    /// Which flight.
    pub flight: FlightId,
    /// How many callers are on it now, those that left not included.
    pub callers: usize,
    /// How long ago it opened, by the group's clock. `None` where nothing reads that clock: there is
    /// neither a [join window](crate::Policy::join_window) nor an observer.
    pub age: Option<Duration>,
    /// Whether a call of its key joins it: it is not superseded, stopping or too old.
    pub joinable: bool,
}
