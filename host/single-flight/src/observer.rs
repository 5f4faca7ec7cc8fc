//! Reports ended flights to the observer of a group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::flight::{Flight, TerminalState};
use crate::id::FlightId;
use crate::outcome::{EndedFlight, FlightEnd};

pub(crate) type Observer<K, V> = Box<dyn Fn(&K, &EndedFlight<'_, V>) + Send + Sync>;

/// Reports a flight that is settled. Contains a panic of the observer or of `age`: the flight must be
/// closed all the same.
pub(crate) fn report<K, V>(
    observer: &Observer<K, V>,
    flight: &Flight<K, V>,
    age: impl FnOnce() -> Option<Duration>,
    would_have_joined: Option<FlightId>,
) {
    let Some(settled) = flight.settled() else {
        return;
    };
    let report = || {
        let ended = EndedFlight {
            flight: flight.id,
            end: match &settled.state {
                TerminalState::Landed(value) => FlightEnd::Landed(value),
                TerminalState::Panicked(message) => FlightEnd::Panicked(message),
                TerminalState::Cancelled => FlightEnd::Cancelled,
            },
            callers: settled.callers,
            age: age().unwrap_or(Duration::ZERO),
            would_have_joined,
        };
        observer(&flight.key, &ended);
    };
    let _ = catch_unwind(AssertUnwindSafe(report));
}
