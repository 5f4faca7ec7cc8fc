//! How a call, a flight or the whole table comes to its end.

use std::mem;

use single_flight::{Abandoned, Role};

use super::{CallNo, Drain, FlightNo, Model, State, Task, Word};
use crate::outcome::{End, Ended, Polled};
use crate::script::Name;

impl Model {
    /// What a call that is on a flight gets now.
    pub(super) fn fetch(&mut self, call: CallNo) -> Polled<FlightNo> {
        let number = self.aboard(call).expect("a call polled again is aboard");
        let flight = &self.flights[number];
        // 8, 9: all get the one end. 11: an error is a value like another.
        let polled = match flight.end.clone() {
            None => return Polled::Pending,
            Some(End::Landed(value)) => Polled::Answered {
                value,
                flight: number,
                role: if flight.leader == call {
                    Role::Leader
                } else {
                    Role::Follower
                },
                // 13: all who joined, leavers included.
                callers: flight.joined,
                shared: flight.joined > 1,
            },
            // 12
            Some(End::Panicked(message)) => Polled::Panicked {
                flight: number,
                message,
            },
            Some(End::Cancelled) => Polled::Cancelled { flight: number },
        };
        self.end_call(call);
        polled
    }

    pub(crate) fn leave(&mut self, call: CallNo) {
        let aboard = self.aboard(call);
        self.end_call(call);
        let Some(number) = aboard else {
            return;
        };
        let flight = &mut self.flights[number];
        if flight.end.is_some() {
            return;
        }
        flight.aboard.remove(&call);
        // 15: with `Finish` it stays as it is, open if it was.
        if flight.aboard.is_empty() && self.policy.abandoned == Abandoned::Cancel {
            self.settle(number, End::Cancelled);
        }
    }

    pub(super) fn end_call(&mut self, call: CallNo) {
        let call = &mut self.calls[call];
        // Nobody else has its work then.
        if call.state == State::Unpolled {
            call.work.drops = 1;
        }
        call.state = State::Over;
    }

    /// 5: those on it stay on it.
    pub(crate) fn forget(&mut self, key: Name) -> bool {
        let mut flights = self.flights.iter_mut();
        let open = flights.find(|flight| flight.is_open(key));
        open.is_some_and(|flight| mem::replace(&mut flight.open, false))
    }

    /// 8: only the first end counts.
    fn settle(&mut self, number: FlightNo, end: End) {
        let flight = &mut self.flights[number];
        if flight.end.is_some() {
            return;
        }
        // 1, 16: it has no joiner from here on.
        flight.open = false;
        flight.end = Some(end);
        // 10: everyone on it is woken, through the waker last polled with and no other.
        for call in flight.aboard.clone() {
            if let Some(bell) = self.calls[call].bell {
                self.calls[call].wakes[bell as usize] += 1;
            }
        }
    }

    /// The task of a flight is over, as it has `end` or is dropped.
    pub(super) fn finish(&mut self, number: FlightNo, end: End) {
        let flight = &mut self.flights[number];
        flight.task = Task::Gone;
        let asks = mem::take(&mut flight.asks);
        let told = mem::take(&mut flight.told);
        let unheard = told.into_iter().filter_map(|word| match word {
            Word::Ask(call) => Some(call),
            _ => None,
        });
        let leader = flight.leader;
        self.calls[leader].work.drops = 1;
        // Its calls go with its work, before it ends.
        for call in asks.into_iter().chain(unheard) {
            self.leave(call);
        }
        self.settle(number, end);
        self.tell_observer(number);
    }

    /// 8: once a flight, with the end that its callers get.
    fn tell_observer(&mut self, number: FlightNo) {
        let flight = &self.flights[number];
        self.ended.push(Ended {
            key: flight.key,
            flight: number,
            end: flight
                .end
                .clone()
                .expect("a flight that is over has an end"),
            callers: flight.joined,
            age: self.now - flight.opened,
            would_have_joined: flight.would_have_joined,
        });
    }
}

/// Draining.
impl Model {
    /// 23: from here on nothing opens. Returns the number of the drain among those under way.
    pub(crate) fn drain(&mut self) -> usize {
        self.draining = true;
        self.drains.push(Drain { late: false });
        self.drains.len() - 1
    }

    pub(crate) fn deadline(&mut self, drain: usize) {
        self.drains[drain].late = true;
    }

    /// 23: how many flights the drain cancelled, if it is over.
    pub(crate) fn poll_drain(&mut self, drain: usize) -> Option<usize> {
        if !self.is_drained(drain) {
            return None;
        }
        let under_way: Vec<_> = self.under_way().collect();
        // Empty unless it is late: a flight that has no end is alive.
        for flight in &under_way {
            self.settle(*flight, End::Cancelled);
        }
        self.drop_drain(drain);
        Some(under_way.len())
    }

    pub(crate) fn drop_drain(&mut self, drain: usize) {
        self.drains.remove(drain);
    }

    /// Whether the next poll of a drain is its last.
    pub(crate) fn is_drained(&self, drain: usize) -> bool {
        self.drains[drain].late || self.alive().is_empty()
    }
}
