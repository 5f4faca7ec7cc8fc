//! The settings of a [`Group`](crate::Group): its limits, its join window, and what happens to a flight
//! that all its callers have left.

use std::time::Duration;

/// The settings of a [`Group`](crate::Group).
///
/// Every combination of values is valid. What the smallest limits do is documented on each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The maximum number of flights alive at the same time. A flight counts until its work is dropped,
    /// also after it was forgotten or cancelled. Default 1,024: each one costs a task and the memory of
    /// its work. With 0 no flight opens. Values above 4,294,967,295 mean 4,294,967,295.
    pub max_flights: usize,
    /// The maximum number of callers on one flight at the same time. Default 100,000: each one is a waker
    /// (16 bytes) here and a future elsewhere, and all of them are woken in one go. With 0 every call is
    /// refused.
    pub max_callers_per_flight: usize,
    /// The maximum number of executions of one key alive at the same time: its open flight, and those
    /// that were superseded or are stopping. `None`, the default, for no limit but
    /// [`max_flights`](Policy::max_flights). Values below 2 mean 2: with 1, a key that was forgotten or
    /// whose flight is stopping could not be called.
    pub max_executions_per_key: Option<usize>,
    /// The maximum age of a flight at which a call still joins it. This bounds how old a shared value can
    /// be. `None`, the default, for no limit. With [`Duration::ZERO`] calls share only if the clock reads
    /// the same for both.
    pub join_window: Option<Duration>,
    /// What happens to a flight when its last caller leaves. Default [`Abandoned::Cancel`].
    pub abandoned: Abandoned,
    /// Whether calls for one key share a flight. Default [`SharingMode::Share`].
    pub sharing: SharingMode,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_flights: 1_024,
            max_callers_per_flight: 100_000,
            max_executions_per_key: None,
            join_window: None,
            abandoned: Abandoned::Cancel,
            sharing: SharingMode::Share,
        }
    }
}

/// What happens to a flight when its last caller leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Abandoned {
    /// It is cancelled: its key is free immediately and its work is stopped.
    #[default]
    Cancel,
    /// It continues and stays open to joiners. It lands for the callers that have joined it by then, or
    /// for none.
    Finish,
}

/// Whether calls for one key share a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SharingMode {
    /// They share.
    #[default]
    Share,
    /// Observe mode: nothing is shared, refused or delayed. Each call has its own flight, no limit
    /// applies, and [`EndedFlight::would_have_joined`](crate::EndedFlight::would_have_joined) reports
    /// which calls would have shared. That is an estimate: sharing would change the timing of the calls.
    Observe,
}
