//! What can be seen of a table, in the words of both sides. `F` names a flight: for the table its id,
//! for the model a number, in the order in which flights opened.

use std::time::Duration;

use single_flight::{CallOutput, Error, FlightId, Role};

use crate::script::Name;

/// What a poll of a call came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Polled<F> {
    Pending,
    Answered {
        value: u32,
        flight: F,
        role: Role,
        callers: usize,
        shared: bool,
    },
    Panicked {
        flight: F,
        message: String,
    },
    Cancelled {
        flight: F,
    },
    Refused(Error),
}

/// What the observer is told.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended<F> {
    pub(crate) key: Name,
    pub(crate) flight: F,
    pub(crate) end: End,
    pub(crate) callers: usize,
    pub(crate) age: Duration,
    pub(crate) would_have_joined: Option<F>,
}

/// What a visit shows of a flight.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnderWay {
    pub(crate) key: Name,
    pub(crate) callers: usize,
    pub(crate) age: Option<Duration>,
    pub(crate) joinable: bool,
}

/// The terminal state of a flight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Landed(u32),
    Panicked(String),
    Cancelled,
}

/// What became of the work of a call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Work {
    pub(crate) calls: usize,
    pub(crate) polls: usize,
    pub(crate) drops: usize,
}

impl From<Result<CallOutput<u32>, Error>> for Polled<FlightId> {
    fn from(outcome: Result<CallOutput<u32>, Error>) -> Self {
        match outcome {
            Ok(answer) => Self::Answered {
                value: answer.value,
                flight: answer.flight,
                role: answer.role,
                callers: answer.callers,
                shared: answer.shared(),
            },
            Err(Error::Panicked { flight, message }) => Self::Panicked {
                flight,
                message: message.to_string(),
            },
            Err(Error::Cancelled { flight }) => Self::Cancelled { flight },
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

impl<F> Polled<F> {
    /// With its flight named otherwise.
    pub(crate) fn named<G>(self, name: impl FnOnce(F) -> G) -> Polled<G> {
        match self {
            Self::Pending => Polled::Pending,
            Self::Answered {
                value,
                flight,
                role,
                callers,
                shared,
            } => Polled::Answered {
                value,
                flight: name(flight),
                role,
                callers,
                shared,
            },
            Self::Panicked { flight, message } => Polled::Panicked {
                flight: name(flight),
                message,
            },
            Self::Cancelled { flight } => Polled::Cancelled {
                flight: name(flight),
            },
            Self::Refused(refusal) => Polled::Refused(refusal),
        }
    }
}

impl<F> Ended<F> {
    /// With its flights named otherwise.
    pub(crate) fn named<G>(self, mut name: impl FnMut(F) -> G) -> Ended<G> {
        Ended {
            key: self.key,
            flight: name(self.flight),
            end: self.end,
            callers: self.callers,
            age: self.age,
            would_have_joined: self.would_have_joined.map(name),
        }
    }
}
