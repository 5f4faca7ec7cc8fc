//! [`FlightControl`]: an operator's view of a client's flights.

use single_flight::Group;

use super::flight::{FlightKey, FlightOutcome};
use crate::model::{Call, FlightSnapshot, Generation};

/// A handle on the flights of one client: to read their state, to close them to further callers, and to end them.
/// Clones are the same handle.
#[derive(Clone, Debug)]
pub struct FlightControl {
    generation: Generation,
    table: Group<FlightKey, FlightOutcome>,
}

impl FlightControl {
    pub(super) fn new(generation: Generation, table: Group<FlightKey, FlightOutcome>) -> Self {
        Self { generation, table }
    }

    /// The number of flights that are open or still ending.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.table.flights()
    }

    /// The number of callers that wait for one of them.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.table.callers()
    }

    /// Whether a [drain](FlightControl::drain) has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// Closes the open flight of `call` to further callers. True if there was one.
    pub fn forget(&self, call: &Call) -> bool {
        self.table.forget(&FlightKey {
            generation: self.generation,
            call: call.clone(),
            caller: None,
        })
    }

    /// Stops opening flights, and waits until all open flights have landed. When `deadline` is ready, cancels the
    /// remaining ones. Returns the number of cancelled flights.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the table closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        self.table.drain(deadline).await
    }

    /// Calls `visit` for every flight, including those that no caller can join any more. It takes time for each
    /// flight, and is not for a hot path.
    pub fn visit(&self, mut visit: impl FnMut(&Call, &FlightSnapshot)) {
        self.table.visit(|key, flight| visit(&key.call, flight));
    }
}
