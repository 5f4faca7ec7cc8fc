//! The end of a call, of a flight, and of the table.

use std::mem;

use single_flight::{Abandoned, Role};

use super::{CallNo, CallProgress, Command, FlightNo, Model, ModelDrain, Task};
use crate::outcome::{EndedRecord, Polled, RecordedEnd};
use crate::script::KeyName;

impl Model {
    /// The result of polling a call that is on a flight.
    pub(super) fn fetch(&mut self, call: CallNo) -> Polled<FlightNo> {
        let number = self
            .current_flight(call)
            .expect("a call that is polled again is on a flight");
        let flight = &self.flights[number];
        // contract 8, 9, 11: all callers get the same end. An error is a value like any other.
        let polled = match flight.end.clone() {
            None => return Polled::Pending,
            Some(RecordedEnd::Landed(value)) => Polled::Answered {
                value,
                flight: number,
                role: if flight.leader == call {
                    Role::Leader
                } else {
                    Role::Follower
                },
                // contract 13: all callers that joined, including those that left.
                callers: flight.joined,
                shared: flight.joined > 1,
            },
            // contract 12
            Some(RecordedEnd::Panicked(message)) => Polled::Panicked {
                flight: number,
                message,
            },
            Some(RecordedEnd::Cancelled) => Polled::Cancelled { flight: number },
        };
        self.end_call(call);
        polled
    }

    pub(crate) fn leave(&mut self, call: CallNo) {
        let attached = self.current_flight(call);
        self.end_call(call);
        let Some(number) = attached else {
            return;
        };
        let flight = &mut self.flights[number];
        if flight.end.is_some() {
            return;
        }
        flight.attached.remove(&call);
        // contract 15: with `Finish` it does not change.
        if flight.attached.is_empty() && self.policy.abandoned == Abandoned::Cancel {
            self.settle(number, RecordedEnd::Cancelled);
        }
    }

    pub(super) fn end_call(&mut self, call: CallNo) {
        let call = &mut self.calls[call];
        // A call that was not polled owns its work.
        if call.state == CallProgress::Unpolled {
            call.work.drops = 1;
        }
        call.state = CallProgress::Completed;
    }

    // contract 5: its callers stay on it.
    pub(crate) fn forget(&mut self, key: KeyName) -> bool {
        let mut flights = self.flights.iter_mut();
        let open = flights.find(|flight| flight.is_open(key));
        open.is_some_and(|flight| mem::replace(&mut flight.open, false))
    }

    // contract 8: only the first end counts.
    fn settle(&mut self, number: FlightNo, end: RecordedEnd) {
        let flight = &mut self.flights[number];
        if flight.end.is_some() {
            return;
        }
        // contract 1, 16: no call joins it any more.
        flight.open = false;
        flight.end = Some(end);
        // contract 10: every caller is woken, through the waker of its last poll and no other.
        for call in flight.attached.clone() {
            if let Some(waker) = self.calls[call].waker {
                self.calls[call].wakes[waker as usize] += 1;
            }
        }
    }

    /// The task of a flight completes with `end`, or is dropped.
    pub(super) fn finish(&mut self, number: FlightNo, end: RecordedEnd) {
        let flight = &mut self.flights[number];
        flight.task = Task::Gone;
        let nested = mem::take(&mut flight.nested);
        let commands = mem::take(&mut flight.commands);
        let unread = commands.into_iter().filter_map(|command| match command {
            Command::Call(call) => Some(call),
            _ => None,
        });
        let leader = flight.leader;
        self.calls[leader].work.drops = 1;
        // Its nested calls are dropped with its work, before it ends.
        for call in nested.into_iter().chain(unread) {
            self.leave(call);
        }
        self.settle(number, end);
        self.report(number);
    }

    // contract 8: once per flight, with the end that its callers get.
    fn report(&mut self, number: FlightNo) {
        let flight = &self.flights[number];
        self.ended.push(EndedRecord {
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
    // contract 23: no flight opens any more.
    /// Starts a drain, and returns its number among those that have not ended.
    pub(crate) fn drain(&mut self) -> usize {
        self.draining = true;
        self.drains.push(ModelDrain { late: false });
        self.drains.len() - 1
    }

    pub(crate) fn deadline(&mut self, drain: usize) {
        self.drains[drain].late = true;
    }

    // contract 23
    /// The number of flights that the drain cancelled, if it has ended.
    pub(crate) fn poll_drain(&mut self, drain: usize) -> Option<usize> {
        if !self.is_drained(drain) {
            return None;
        }
        let unsettled: Vec<_> = self.unsettled().collect();
        // Empty unless the deadline is reached: a flight without an end is alive.
        for flight in &unsettled {
            self.settle(*flight, RecordedEnd::Cancelled);
        }
        self.drop_drain(drain);
        Some(unsettled.len())
    }

    pub(crate) fn drop_drain(&mut self, drain: usize) {
        self.drains.remove(drain);
    }

    /// Whether the next poll of a drain is its last.
    pub(crate) fn is_drained(&self, drain: usize) -> bool {
        self.drains[drain].late || self.alive().is_empty()
    }
}
