//! The key and the outcome of a flight, as the table stores them.

use tracing::Span;

use super::comparison::ComparedAnswer;
use crate::model::{Call, ClientError, FlightCost, Generation, Outcome, RequestId};

/// What makes two calls the same: the load of a component, the function and its arguments. Nothing else of
/// a caller is in it, and nothing else of a caller reaches the guest, so an outcome cannot belong to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) generation: Generation,
    pub(super) call: Call,
    /// Set for a call that is not shared: no other call has this number.
    pub(super) caller: Option<u64>,
}

/// What a flight passes to its callers and its observer.
#[derive(Clone, Debug)]
pub(super) struct FlightOutcome {
    pub(super) result: Result<Outcome, ClientError>,
    pub(super) cost: FlightCost,
    /// The answer, if it is compared with those of executions with which it would have been shared.
    pub(super) compared: Option<ComparedAnswer>,
    /// Whether it began while another execution of the same call ran, which is not shared.
    pub(super) overlaps: bool,
    /// The flight's span, for its callers' spans to link to. The span itself and not its id, because a
    /// span that has closed before its callers wake cannot be linked to.
    pub(super) span: Span,
    /// The id of the leader's request.
    pub(super) request_id: Option<RequestId>,
}

impl FlightOutcome {
    /// Whether its answer equals the one that its caller would have shared.
    pub(super) fn equal(&self) -> Option<bool> {
        self.compared.as_ref()?.equal()
    }
}
