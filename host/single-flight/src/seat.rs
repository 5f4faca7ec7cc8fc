//! A caller's place on a flight, from going aboard to its outcome. It does not know how the flight was
//! found.

use std::sync::Arc;

use crate::flight::{FIRST, Flight, Outcome};
use crate::waits::{self, Nested};
use crate::{CallOutput, Error, FlightId, Role};

/// A caller's place on a flight. Whoever holds it must [leave](crate::table::Table::leave), or take the
/// [outcome](Seat::outcome) once the flight is settled.
pub(crate) struct Seat<K, V> {
    pub(crate) flight: Arc<Flight<K, V>>,
    pub(crate) place: u32,
    pub(crate) role: Role,
    /// The flight from whose task this call is made, if it is. What it waits for is noted then.
    pub(crate) waiter: Option<FlightId>,
}

impl<K, V: Clone> Seat<K, V> {
    /// What this caller gets from a flight that is settled. Clones the value.
    pub(crate) fn outcome(self) -> Result<CallOutput<V>, Error> {
        self.disembark();
        let flight = self.flight.id;
        let settled = self.flight.settled().expect("the flight is settled");
        match &settled.outcome {
            Outcome::Landed(value) => Ok(CallOutput {
                value: value.clone(),
                flight,
                role: self.role,
                callers: settled.callers,
            }),
            Outcome::Panicked(message) => Err(Error::Panicked {
                flight,
                message: Arc::clone(message),
            }),
            Outcome::Cancelled => Err(Error::Cancelled { flight }),
        }
    }
}

impl<K, V> Seat<K, V> {
    /// The leader's, on a flight that has just been opened.
    pub(crate) fn first(flight: Arc<Flight<K, V>>, nested: Option<Nested>) -> Self {
        Self {
            place: FIRST,
            role: Role::Leader,
            waiter: nested.map(|mut nested| nested.waits_for(flight.id)),
            flight,
        }
    }

    /// Ends what the flight of this call's task waits for.
    pub(crate) fn disembark(&self) {
        if let Some(waiter) = self.waiter {
            waits::end(waiter, self.flight.id);
        }
    }
}
