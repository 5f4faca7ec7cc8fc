//! The first poll of a call: it joins a flight, opens one, or is refused.

use std::collections::{BTreeSet, VecDeque};

use single_flight::{Error, SharingMode};

use super::{CallNo, CallProgress, FlightNo, Model, ModelCall, ModelFlight, OneOf, Task};
use crate::outcome::Polled;
use crate::script::{KeyName, Mode};

impl Model {
    /// The first poll of a call, made by the work of `waiter` if there is one.
    pub(super) fn first_poll(&mut self, call: CallNo, waiter: Option<FlightNo>) -> OneOf {
        let ModelCall { key, mode, .. } = self.calls[call];
        if mode == Mode::Join {
            self.close_if_stale(key);
        }
        let open = self.flights.iter().position(|flight| flight.is_open(key));
        let joined = open.filter(|_| mode == Mode::Join);
        let refusals = match joined {
            Some(flight) => self.refusals_to_join(flight, waiter),
            None => self.refusals_to_open(key),
        };
        if !refusals.is_empty() {
            self.end_call(call);
            return refusals.into_iter().map(Polled::Refused).collect();
        }
        // contract 2: it joins the open flight, or else leads a new one.
        let flight_no = joined.unwrap_or_else(|| {
            // contract 1, 5: a call that opens a flight supersedes the open one; a refused call does not.
            self.forget(key);
            self.open(call)
        });
        if joined.is_some() {
            self.calls[call].work.drops = 1;
        }
        let flight = &mut self.flights[flight_no];
        flight.attached.insert(call);
        flight.joined += 1;
        self.calls[call].state = CallProgress::Waiting;
        self.calls[call].flight = Some(flight_no);
        vec![Polled::Pending]
    }

    // contract 6: no call joins a flight older than the window. The call that finds such a flight closes it,
    // even if it is then refused.
    fn close_if_stale(&mut self, key: KeyName) {
        let open = self.flights.iter().position(|flight| flight.is_open(key));
        if open.is_some_and(|open| self.is_stale(&self.flights[open])) {
            self.forget(key);
        }
    }

    // contract 6
    /// Whether a flight is too old to be joined.
    pub(super) fn is_stale(&self, flight: &ModelFlight) -> bool {
        let window = self.policy.join_window;
        window.is_some_and(|window| self.now - flight.opened > window)
    }

    fn refusals_to_join(&self, flight: FlightNo, waiter: Option<FlightNo>) -> Vec<Error> {
        let mut refusals = Vec::new();
        // contract 18
        if waiter.is_some_and(|waiter| self.is_part_of(waiter, flight)) {
            refusals.push(Error::WouldDeadlock);
        }
        // contract 19: callers that left do not count.
        let limit = self.policy.max_callers_per_flight;
        if self.flights[flight].attached.len() >= limit {
            refusals.push(Error::TooManyCallers { limit });
        }
        refusals
    }

    // contract 18
    /// Whether `flight` is `waiter`, or waits for it directly or through other flights.
    fn is_part_of(&self, waiter: FlightNo, flight: FlightNo) -> bool {
        // A call waits only for a flight without an end.
        let nested = self.flights[flight].nested.iter();
        let flights = nested.filter_map(|call| self.current_flight(*call));
        let mut flights = flights.filter(|flight| self.flights[*flight].end.is_none());
        flight == waiter || flights.any(|flight| self.is_part_of(waiter, flight))
    }

    fn refusals_to_open(&self, key: KeyName) -> Vec<Error> {
        // contract 23: permanently, whatever the limits.
        if self.draining {
            return vec![Error::Draining];
        }
        let mut refusals = Vec::new();
        // contract 25: no limit applies.
        if self.policy.sharing == SharingMode::Observe {
            return refusals;
        }
        // contract 19
        let limit = self.policy.max_flights;
        if self.alive().len() >= limit {
            refusals.push(Error::TooManyFlights { limit });
        }
        let limit = self.policy.max_callers_per_flight;
        if limit == 0 {
            refusals.push(Error::TooManyCallers { limit });
        }
        // contract 7
        if let Some(limit) = self.policy.max_executions_per_key.map(|limit| limit.max(2))
            && self.executions(key).count() >= limit
        {
            refusals.push(Error::TooManyExecutions { limit });
        }
        refusals
    }

    fn open(&mut self, leader: CallNo) -> FlightNo {
        let key = self.calls[leader].key;
        let observed = self.policy.sharing == SharingMode::Observe;
        // contract 25: the flight that would be open if calls shared. The latest flight would have joined it, or
        // is it. It would be joined only while it is running.
        let latest = self.flights.iter().rposition(|flight| flight.key == key);
        let head = latest.map(|latest| self.flights[latest].would_have_joined.unwrap_or(latest));
        let open = self.executions(key).any(|flight| Some(flight) == head);
        let joins = observed && open && self.calls[leader].mode == Mode::Join;
        self.flights.push(ModelFlight {
            key,
            leader,
            opened: self.now,
            // contract 25: nothing is shared.
            open: !observed,
            end: None,
            attached: BTreeSet::new(),
            joined: 0,
            task: Task::Spawned,
            commands: VecDeque::new(),
            nested: Vec::new(),
            would_have_joined: head.filter(|_| joins),
        });
        self.flights.len() - 1
    }

    // contract 7: an execution counts until its work is dropped.
    fn executions(&self, key: KeyName) -> impl Iterator<Item = FlightNo> {
        let alive = self.alive().into_iter();
        alive.filter(move |flight| self.flights[*flight].key == key)
    }
}
