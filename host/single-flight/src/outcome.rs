//! What a flight comes to: for a caller an [`CallOutput`] or an [`Error`], for the observer an [`EndedFlight`].
//! A value is the work's own affair: an error the work returns is a value like any other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::FlightId;

/// A value, and how it came to this caller.
#[derive(Debug, Clone)]
pub struct CallOutput<V> {
    /// This caller's clone of what the work returned.
    pub value: V,
    /// The flight that produced the value.
    pub flight: FlightId,
    /// Whether this caller opened the flight or joined it.
    pub role: Role,
    /// How many callers were ever on the flight, those that left included. Final, and the same for all
    /// of them.
    pub callers: usize,
}

impl<V> CallOutput<V> {
    /// Whether the flight had more than one caller.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

/// What a caller is to its flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It opened the flight, with its own work.
    Leader,
    /// It joined an open flight. Its own work was dropped unused.
    Follower,
}

/// A flight that is over, as the observer sees it.
#[derive(Debug)]
pub struct EndedFlight<'a, V> {
    /// Which flight.
    pub flight: FlightId,
    /// What it came to.
    pub end: FlightEnd<'a, V>,
    /// How many callers were ever on it, those that left included.
    pub callers: usize,
    /// How long ago it opened.
    pub age: Duration,
    /// With [`SharingMode::Observe`](crate::SharingMode::Observe), the flight that this one's caller would have
    /// joined: the one of its key that was under way when it came and would itself have joined none. `None`
    /// where there was no such flight, for callers that [called anew](crate::Group::call_fresh), and where
    /// callers share.
    pub would_have_joined: Option<FlightId>,
}

/// The terminal state of a flight.
#[derive(Debug)]
pub enum FlightEnd<'a, V> {
    /// The work returned this value.
    Landed(&'a V),
    /// The work panicked with this message: when it was called, polled or dropped.
    Panicked(&'a str),
    /// Its last caller left, a drain reached its deadline, or its runtime went away.
    Cancelled,
}

/// Why a caller has no answer. Nothing of it is kept: the next call of the key starts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The work panicked, and every caller of the flight is told so.
    Panicked {
        /// The flight.
        flight: FlightId,
        /// What the panic said.
        message: Arc<str>,
    },
    /// The flight was cancelled with this caller on it: a drain reached its deadline, or the runtime
    /// that ran the flight went away.
    Cancelled {
        /// The flight.
        flight: FlightId,
    },
    /// A new flight was needed, and as many are alive as [`Policy::flights`](crate::Policy::flights)
    /// allows.
    TooManyFlights {
        /// The limit.
        limit: usize,
    },
    /// The flight has as many callers as
    /// [`Policy::callers_per_flight`](crate::Policy::callers_per_flight) allows.
    TooManyCallers {
        /// The limit.
        limit: usize,
    },
    /// A new flight was needed, and as many executions of the key are alive, superseded and stopping ones
    /// included, as [`Policy::executions_per_key`](crate::Policy::executions_per_key) allows.
    TooManyExecutions {
        /// The limit.
        limit: usize,
    },
    /// The call was made in the task of a flight that the flight it would have joined waits for, or is:
    /// neither could ever land.
    WouldDeadlock,
    /// A new flight was needed after a [drain](crate::Group::drain) had started.
    Draining,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Panicked { message, .. } => {
                write!(
                    f,
                    "the work panicked, the next call runs it anew: {message}"
                )
            }
            Error::Cancelled { .. } => f.write_str("the flight was cancelled, ask again"),
            Error::TooManyFlights { limit } => write!(
                f,
                "{limit} flights are alive and no more are allowed, ask again when one has landed"
            ),
            Error::TooManyCallers { limit } => write!(
                f,
                "{limit} callers are on this flight and no more are allowed, ask again when it has landed"
            ),
            Error::TooManyExecutions { limit } => write!(
                f,
                "{limit} executions of this key are alive and no more are allowed, ask again when one has ended"
            ),
            Error::WouldDeadlock => f.write_str(
                "the work asked for a flight that waits for it, make it ask for something else",
            ),
            Error::Draining => f.write_str("no flight opens while draining, ask another group"),
        }
    }
}

impl std::error::Error for Error {}
