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

    /// How many flights are open or still end.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.table.flights()
    }

    /// How many callers wait for one of them.
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
        })
    }

    /// Opens no further flight, and returns when all have landed. Cancels those that are left when
    /// `deadline` is ready, and returns how many those were.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the table closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        self.table.drain(deadline).await
    }

    /// Calls `visit` for every flight, those included that no caller can join any more. It takes time for
    /// each flight, and is not for a hot path.
    pub fn visit(&self, mut visit: impl FnMut(&Call, &FlightSnapshot)) {
        self.table.visit(|key, flight| visit(&key.call, flight));
    }
}
