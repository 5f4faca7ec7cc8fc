//! The observable results, in the same types for table and model. `F` identifies a flight: by its id for the
//! table, by a number in the order of opening for the model.

use std::time::Duration;

use single_flight::{CallOutput, Error, FlightId, Role};

use crate::script::KeyName;

/// The result of polling a call.
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

/// A report to the observer.
#[derive(Debug, PartialEq)]
pub(crate) struct EndedRecord<F> {
    pub(crate) key: KeyName,
    pub(crate) flight: F,
    pub(crate) end: RecordedEnd,
    pub(crate) callers: usize,
    pub(crate) age: Duration,
    pub(crate) would_have_joined: Option<F>,
}

/// A flight in a visit.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Snapshot {
    pub(crate) key: KeyName,
    pub(crate) callers: usize,
    pub(crate) age: Option<Duration>,
    pub(crate) joinable: bool,
}

/// The terminal state of a flight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RecordedEnd {
    Landed(u32),
    Panicked(String),
    Cancelled,
}

/// The counts of a call's work.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct WorkCounts {
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
    /// With its flight identified otherwise.
    pub(crate) fn map_flight<G>(self, map: impl FnOnce(F) -> G) -> Polled<G> {
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
                flight: map(flight),
                role,
                callers,
                shared,
            },
            Self::Panicked { flight, message } => Polled::Panicked {
                flight: map(flight),
                message,
            },
            Self::Cancelled { flight } => Polled::Cancelled {
                flight: map(flight),
            },
            Self::Refused(refusal) => Polled::Refused(refusal),
        }
    }
}

impl<F> EndedRecord<F> {
    /// With its flights identified otherwise.
    pub(crate) fn map_flight<G>(self, mut map: impl FnMut(F) -> G) -> EndedRecord<G> {
        EndedRecord {
            key: self.key,
            flight: map(self.flight),
            end: self.end,
            callers: self.callers,
            age: self.age,
            would_have_joined: self.would_have_joined.map(map),
        }
    }
}
