//! What runs in the task of a flight: its work, which does as it is told.

use std::mem;

use super::{CallNo, FlightNo, Model, Task, Word};
use crate::outcome::{End, Polled};
use crate::script::Temper;

impl Model {
    pub(crate) fn tell(&mut self, flight: FlightNo, word: Word<CallNo>) {
        self.flights[flight].told.push_back(word);
    }

    /// Runs the task of a flight until it cannot go on.
    pub(crate) fn run(&mut self, number: FlightNo) {
        let (task, leader) = (self.flights[number].task, self.flights[number].leader);
        let work = &mut self.calls[leader].work;
        match task {
            Task::Gone => return,
            // 15: not polled again, but dropped. The end that it has stays.
            _ if self.flights[number].end.is_some() => {
                return self.finish(number, End::Cancelled);
            }
            Task::Spawned => {
                work.calls = 1;
                self.flights[number].task = Task::Started;
                if self.calls[leader].temper == Temper::Rash {
                    return self.finish(number, End::Panicked("called".to_owned()));
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
        !flight.told.is_empty() || flight.asks.iter().any(|ask| self.has_outcome(*ask))
    }

    fn has_outcome(&self, call: CallNo) -> bool {
        let flight = self.aboard(call);
        flight.is_some_and(|flight| self.flights[flight].end.is_some())
    }

    /// Fetches what its calls came to, then does as it is told.
    fn poll_work(&mut self, number: FlightNo) -> Option<End> {
        for ask in mem::take(&mut self.flights[number].asks) {
            if self.has_outcome(ask) {
                let outcome = self.fetch(ask);
                self.heard.push((ask, vec![outcome]));
            } else {
                self.flights[number].asks.push(ask);
            }
        }
        let leader = self.flights[number].leader;
        while let Some(word) = self.flights[number].told.pop_front() {
            match word {
                Word::Land if self.calls[leader].temper == Temper::Sore => {
                    return Some(End::Panicked("dropped".to_owned()));
                }
                Word::Land => return Some(End::Landed(leader as u32)),
                Word::Panic => return Some(End::Panicked("polled".to_owned())),
                Word::Ask(call) => {
                    let polled = self.board(call, Some(number));
                    if polled == [Polled::Pending] {
                        self.flights[number].asks.push(call);
                    } else {
                        self.heard.push((call, polled));
                    }
                }
                Word::Withdraw => {
                    for ask in mem::take(&mut self.flights[number].asks) {
                        self.leave(ask);
                    }
                }
            }
        }
        None
    }

    /// 9: the runtime of a flight goes away.
    pub(crate) fn lose_runtime(&mut self, flight: FlightNo) {
        self.finish(flight, End::Cancelled);
    }
}
