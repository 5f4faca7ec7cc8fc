//! A caller's membership of a flight, from joining to its outcome. It does not know how the flight was
//! found.

use std::sync::Arc;

use crate::flight::{Flight, LEADER_SLOT, TerminalState};
use crate::id::FlightId;
use crate::outcome::{CallOutput, Error, Role};
use crate::wait_graph::{self, NestedCall};

/// A caller's membership of a flight. Its owner must either [leave](crate::table::Table::leave), or take
/// the [outcome](Membership::into_outcome) once the flight is settled.
pub(crate) struct Membership<K, V> {
    pub(crate) flight: Arc<Flight<K, V>>,
    /// The slot of the caller's waker.
    pub(crate) slot: u32,
    pub(crate) role: Role,
    /// The flight from whose task this call is made, if there is one. Its wait is recorded then.
    pub(crate) waiter: Option<FlightId>,
}

impl<K, V: Clone> Membership<K, V> {
    /// The outcome of this caller on a flight that is settled. Clones the value.
    pub(crate) fn into_outcome(self) -> Result<CallOutput<V>, Error> {
        self.stop_waiting();
        let flight = self.flight.id;
        let settled = self.flight.settled().expect("the flight is settled");
        match &settled.state {
            TerminalState::Landed(value) => Ok(CallOutput {
                value: value.clone(),
                flight,
                role: self.role,
                callers: settled.callers,
            }),
            TerminalState::Panicked(message) => Err(Error::Panicked {
                flight,
                message: Arc::clone(message),
            }),
            TerminalState::Cancelled => Err(Error::Cancelled { flight }),
        }
    }
}

impl<K, V> Membership<K, V> {
    /// The leader's membership of a flight that was just opened.
    pub(crate) fn of_leader(flight: Arc<Flight<K, V>>, nested: Option<NestedCall>) -> Self {
        Self {
            slot: LEADER_SLOT,
            role: Role::Leader,
            waiter: nested.map(|mut nested| nested.record(flight.id)),
            flight,
        }
    }

    /// Removes the recorded wait, if this call is made from a flight's task.
    pub(crate) fn stop_waiting(&self) {
        if let Some(waiter) = self.waiter {
            wait_graph::remove(waiter, self.flight.id);
        }
    }
}
