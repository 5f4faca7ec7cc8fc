//! The first poll of a call: it joins, opens or is refused.

use std::collections::{BTreeSet, VecDeque};

use single_flight::{Error, SharingMode};

use super::{Call, CallNo, Flight, FlightNo, Model, OneOf, State, Task};
use crate::outcome::Polled;
use crate::script::{Name, Takes};

impl Model {
    /// The first poll of a call, made by the work of `waiter` if there is one.
    pub(super) fn board(&mut self, call: CallNo, waiter: Option<FlightNo>) -> OneOf {
        let Call { key, takes, .. } = self.calls[call];
        if takes == Takes::Open {
            self.close_if_stale(key);
        }
        let open = self.flights.iter().position(|flight| flight.is_open(key));
        let joined = open.filter(|_| takes == Takes::Open);
        let refusals = match joined {
            Some(flight) => self.refusals_to_join(flight, waiter),
            None => self.refusals_to_open(key),
        };
        if !refusals.is_empty() {
            self.end_call(call);
            return refusals.into_iter().map(Polled::Refused).collect();
        }
        // 2: joins what is open, or else leads.
        let boarded = joined.unwrap_or_else(|| {
            // 1, 5: superseded by the one that opens, and not by one that is refused.
            self.forget(key);
            self.open(call)
        });
        if joined.is_some() {
            self.calls[call].work.drops = 1;
        }
        let flight = &mut self.flights[boarded];
        flight.aboard.insert(call);
        flight.joined += 1;
        self.calls[call].state = State::Aboard;
        self.calls[call].flight = Some(boarded);
        vec![Polled::Pending]
    }

    /// 6: nobody joins a flight older than the window. Whoever finds it so closes it, whether or not
    /// there is room for a new one.
    fn close_if_stale(&mut self, key: Name) {
        let open = self.flights.iter().position(|flight| flight.is_open(key));
        if open.is_some_and(|open| self.is_stale(&self.flights[open])) {
            self.forget(key);
        }
    }

    /// 6: whether nobody joins a flight any more, because of its age.
    pub(super) fn is_stale(&self, flight: &Flight) -> bool {
        let window = self.policy.join_window;
        window.is_some_and(|window| self.now - flight.opened > window)
    }

    fn refusals_to_join(&self, flight: FlightNo, waiter: Option<FlightNo>) -> Vec<Error> {
        let mut refusals = Vec::new();
        // 18
        if waiter.is_some_and(|waiter| self.is_part_of(waiter, flight)) {
            refusals.push(Error::WouldDeadlock);
        }
        // 19: those who left make room.
        let limit = self.policy.max_callers_per_flight;
        if self.flights[flight].aboard.len() >= limit {
            refusals.push(Error::TooManyCallers { limit });
        }
        refusals
    }

    /// 18: whether `flight` is `waiter`, or waits for it by way of any number of others.
    fn is_part_of(&self, waiter: FlightNo, flight: FlightNo) -> bool {
        // A flight that has an end is not waited for.
        let asks = self.flights[flight].asks.iter();
        let asked = asks.filter_map(|call| self.aboard(*call));
        let mut asked = asked.filter(|asked| self.flights[*asked].end.is_none());
        flight == waiter || asked.any(|asked| self.is_part_of(waiter, asked))
    }

    fn refusals_to_open(&self, key: Name) -> Vec<Error> {
        // 23: for good, however much room there is.
        if self.draining {
            return vec![Error::Draining];
        }
        let mut refusals = Vec::new();
        // 25: no limit applies.
        if self.policy.sharing == SharingMode::Observe {
            return refusals;
        }
        // 19
        let limit = self.policy.max_flights;
        if self.alive().len() >= limit {
            refusals.push(Error::TooManyFlights { limit });
        }
        let limit = self.policy.max_callers_per_flight;
        if limit == 0 {
            refusals.push(Error::TooManyCallers { limit });
        }
        // 7
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
        // 25: the one that would be open, were they shared: the one that opened last says which. It is joined
        // only as long as it is under way.
        let latest = self.flights.iter().rposition(|flight| flight.key == key);
        let head = latest.map(|latest| self.flights[latest].would_have_joined.unwrap_or(latest));
        let open = self.executions(key).any(|flight| Some(flight) == head);
        let joins = observed && open && self.calls[leader].takes == Takes::Open;
        self.flights.push(Flight {
            key,
            leader,
            opened: self.now,
            // 25: nothing is shared.
            open: !observed,
            end: None,
            aboard: BTreeSet::new(),
            joined: 0,
            task: Task::Spawned,
            told: VecDeque::new(),
            asks: Vec::new(),
            would_have_joined: head.filter(|_| joins),
        });
        self.flights.len() - 1
    }

    /// 7: an execution counts until its work is dropped.
    fn executions(&self, key: Name) -> impl Iterator<Item = FlightNo> {
        let alive = self.alive().into_iter();
        alive.filter(move |flight| self.flights[*flight].key == key)
    }
}
