//! The results of a flight: a [`CallOutput`] or an [`Error`] for each caller, an [`EndedFlight`] for the
//! observer. An error that the work returns is a value like any other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::FlightId;

/// The value that a call returns, and the flight that it came from.
#[derive(Debug, Clone)]
pub struct CallOutput<V> {
    /// This caller's clone of the value that the work returned.
    pub value: V,
    /// The flight that produced the value.
    pub flight: FlightId,
    /// Whether this caller opened the flight or joined it.
    pub role: Role,
    /// The number of callers that ever joined the flight, including those that left. Final, and the same
    /// for all of them.
    pub callers: usize,
}

impl<V> CallOutput<V> {
    /// Whether the flight had more than one caller.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

/// The role of a caller on its flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It opened the flight, with its own work.
    Leader,
    /// It joined an open flight. Its own work was dropped unused.
    Follower,
}

/// A flight that has ended, as the observer receives it.
#[derive(Debug)]
pub struct EndedFlight<'a, V> {
    /// The flight.
    pub flight: FlightId,
    /// Its terminal state.
    pub end: FlightEnd<'a, V>,
    /// The number of callers that ever joined it, including those that left.
    pub callers: usize,
    /// How long ago it opened.
    pub age: Duration,
    /// In observe mode ([`SharingMode::Observe`](crate::SharingMode::Observe)), the flight that this one's
    /// caller would have joined: the flight of its key that would have been open, if that was still running
    /// when this one opened. `None` if there was no such flight, for a
    /// [fresh call](crate::Group::call_fresh), and where callers share.
    pub would_have_joined: Option<FlightId>,
}

/// The terminal state of a flight.
#[derive(Debug)]
pub enum FlightEnd<'a, V> {
    /// The work returned this value.
    Landed(&'a V),
    /// The work panicked with this message when it was called, polled or dropped.
    Panicked(&'a str),
    /// Its last caller left, a drain reached its deadline, or its runtime shut down.
    Cancelled,
}

/// Why a call has no value. Nothing is kept of it: the next call for the key starts fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The work panicked. Every caller of the flight gets this error.
    Panicked {
        /// The flight.
        flight: FlightId,
        /// The message of the panic.
        message: Arc<str>,
    },
    /// The flight was cancelled while this caller was on it: a drain reached its deadline, or the runtime
    /// that ran the flight shut down.
    Cancelled {
        /// The flight.
        flight: FlightId,
    },
    /// The call would have opened a flight, but [`Policy::max_flights`](crate::Policy::max_flights) of them
    /// are alive.
    TooManyFlights {
        /// The limit.
        limit: usize,
    },
    /// The flight already has [`Policy::max_callers_per_flight`](crate::Policy::max_callers_per_flight)
    /// callers.
    TooManyCallers {
        /// The limit.
        limit: usize,
    },
    /// The call would have opened a flight, but
    /// [`Policy::max_executions_per_key`](crate::Policy::max_executions_per_key) executions of the key are
    /// alive, including superseded and stopping ones.
    TooManyExecutions {
        /// The limit.
        limit: usize,
    },
    /// The call was made in the task of a flight, for that same flight or for one that waits for it.
    /// Neither could ever land.
    WouldDeadlock,
    /// The call would have opened a flight after a [drain](crate::Group::drain) had started.
    Draining,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Panicked { message, .. } => {
                write!(
                    f,
                    "the work panicked, the next call runs it again: {message}"
                )
            }
            Error::Cancelled { .. } => f.write_str("the flight was cancelled; call again"),
            Error::TooManyFlights { limit } => write!(
                f,
                "expected fewer than {limit} flights alive, got {limit}; call again when one has ended"
            ),
            Error::TooManyCallers { limit } => write!(
                f,
                "expected fewer than {limit} callers on this flight, got {limit}; call again when it has landed"
            ),
            Error::TooManyExecutions { limit } => write!(
                f,
                "expected fewer than {limit} executions of this key alive, got {limit}; call again when one has ended"
            ),
            Error::WouldDeadlock => f.write_str(
                "the work called for a flight that waits for it; remove the circular call",
            ),
            Error::Draining => {
                f.write_str("the group is draining and opens no more flights; use another group")
            }
        }
    }
}

impl std::error::Error for Error {}
