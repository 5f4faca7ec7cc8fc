//! What is recorded of one run: calls, closings and ended flights.

use std::collections::HashMap;

use single_flight::{CallOutput, Error, FlightId, Role};

/// The value that work returns: its own flight.
pub(crate) type Value = FlightId;

/// Whether a call may join an open flight.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// `Group::call`.
    Join,
    /// `Group::call_fresh`.
    Fresh,
}

/// Everything that is recorded of one run.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) calls: Vec<CompletedCall>,
    pub(crate) closings: Vec<Closing>,
    pub(crate) ended: Vec<ReportedFlight>,
    /// When the work of a flight was about to return.
    pub(crate) landings: HashMap<FlightId, u64>,
    /// The number of calls that joined or opened a flight.
    pub(crate) joined: usize,
    /// Whether a call left its flight.
    pub(crate) left: bool,
    /// When a drain had ended.
    pub(crate) drained: Option<u64>,
    /// The maximum number of executions alive at once, of one key and of all keys.
    pub(crate) max_executions_of_a_key: usize,
    pub(crate) max_executions: usize,
}

/// A call that has its outcome. Stamps are in one order for the whole run; times are the clock's.
pub(crate) struct CompletedCall {
    pub(crate) key: u8,
    pub(crate) mode: Mode,
    /// Stamps before and after its first poll, and after its outcome.
    pub(crate) before: u64,
    pub(crate) joined: u64,
    pub(crate) completed: u64,
    /// Times before and after its first poll.
    pub(crate) called_at: u64,
    pub(crate) joined_at: u64,
    pub(crate) outcome: Result<CallOutput<Value>, Error>,
}

impl CompletedCall {
    pub(crate) fn is_leader(&self) -> bool {
        let output = self.outcome.as_ref();
        output.is_ok_and(|output| output.role == Role::Leader)
    }
}

/// A forget, or a fresh call that was not refused: it closes flights of the key that were opened before it.
/// A refused call closes none, and is not recorded.
pub(crate) struct Closing {
    pub(crate) key: u8,
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// A flight that has ended, as the observer received it.
pub(crate) struct ReportedFlight {
    pub(crate) key: u8,
    pub(crate) flight: FlightId,
    pub(crate) callers: usize,
    pub(crate) end: ReportedEnd,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ReportedEnd {
    Landed(Value),
    Panicked,
    Cancelled,
}
