//! The task of a flight: its work executes commands.

use std::mem;

use super::{CallNo, Command, FlightNo, Model, Task};
use crate::outcome::{Polled, RecordedEnd};
use crate::script::Fault;

impl Model {
    pub(crate) fn send(&mut self, flight: FlightNo, command: Command<CallNo>) {
        self.flights[flight].commands.push_back(command);
    }

    /// Runs the task of a flight until it waits.
    pub(crate) fn run(&mut self, number: FlightNo) {
        let (task, leader) = (self.flights[number].task, self.flights[number].leader);
        let work = &mut self.calls[leader].work;
        match task {
            Task::Gone => return,
            // contract 15: dropped without being polled again. Its end does not change.
            _ if self.flights[number].end.is_some() => {
                return self.finish(number, RecordedEnd::Cancelled);
            }
            Task::Spawned => {
                work.calls = 1;
                self.flights[number].task = Task::Started;
                if self.calls[leader].fault == Fault::PanicOnCall {
                    return self.finish(number, RecordedEnd::Panicked("called".to_owned()));
                }
            }
            Task::Started if !self.is_woken(number) => return,
            Task::Started => {}
        }
        self.calls[leader].work.polls += 1;
        if let Some(end) = self.poll_work(number) {
            self.finish(number, end);
        }
    }

    fn is_woken(&self, number: FlightNo) -> bool {
        let flight = &self.flights[number];
        !flight.commands.is_empty() || flight.nested.iter().any(|call| self.has_outcome(*call))
    }

    fn has_outcome(&self, call: CallNo) -> bool {
        let flight = self.current_flight(call);
        flight.is_some_and(|flight| self.flights[flight].end.is_some())
    }

    /// Takes the outcomes of its nested calls, then executes its commands.
    fn poll_work(&mut self, number: FlightNo) -> Option<RecordedEnd> {
        for call in mem::take(&mut self.flights[number].nested) {
            if self.has_outcome(call) {
                let outcome = self.fetch(call);
                self.nested_outcomes.push((call, vec![outcome]));
            } else {
                self.flights[number].nested.push(call);
            }
        }
        let leader = self.flights[number].leader;
        while let Some(command) = self.flights[number].commands.pop_front() {
            match command {
                Command::Land if self.calls[leader].fault == Fault::PanicOnDrop => {
                    return Some(RecordedEnd::Panicked("dropped".to_owned()));
                }
                Command::Land => return Some(RecordedEnd::Landed(leader as u32)),
                Command::Panic => return Some(RecordedEnd::Panicked("polled".to_owned())),
                Command::Call(call) => {
                    let polled = self.first_poll(call, Some(number));
                    if polled == [Polled::Pending] {
                        self.flights[number].nested.push(call);
                    } else {
                        self.nested_outcomes.push((call, polled));
                    }
                }
                Command::Withdraw => {
                    for call in mem::take(&mut self.flights[number].nested) {
                        self.leave(call);
                    }
                }
            }
        }
        None
    }

    // contract 9: the runtime of a flight shuts down.
    pub(crate) fn lose_runtime(&mut self, flight: FlightNo) {
        self.finish(flight, RecordedEnd::Cancelled);
    }
}
