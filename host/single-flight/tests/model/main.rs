//! The table against a model: random operations are done to both, and whatever can be seen of the one
//! must be what the other says, after every step.
//!
//! Only one thread runs, time passes when a script says so, and each flight's task has a runtime of its
//! own that runs when a script says so: a script is one certain order. Where several tasks could go on, the
//! script says which does. What threads do to each other is not seen here.
//!
//! `PROPTEST_CASES` sets how many scripts are tried. One that fails is shrunk and printed, an operation a
//! line. It is not kept in a file: what it shows belongs in a test of its own, under its name.

#![cfg(not(shuttle))]

mod model;
mod outcome;
mod rig;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;
use std::{env, fmt};

use proptest::proptest;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError};
use single_flight::FlightId;

use crate::model::{By, CallNo, FlightNo, Model, OneOf, Word};
use crate::outcome::Polled;
use crate::rig::{Outcome, Rig};
use crate::script::{Bell, Name, Op, Script, Telling, Temper, script};

proptest! {
    #![proptest_config(config())]

    // 1 to 20, 23 and 25: each is stated where the model obeys it.
    #[test]
    fn the_table_does_what_the_model_says(script in script()) {
        let mut case = Case::new(&script);
        for (step, op) in script.ops.iter().enumerate() {
            case.step(*op).map_err(|error| error.at(&format!("step {step}, {op:?}")))?;
        }
        case.finish().map_err(|error| error.at("the end"))?;
    }
}

/// About five seconds of an unoptimised build.
const CASES: u32 = if cfg!(miri) { 4 } else { 3_000 };

fn config() -> Config {
    let mut config = Config::default();
    // What it says is in the default already.
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.failure_persistence = None;
    // In an unoptimised build the default one takes most of the time.
    config.rng_algorithm = RngAlgorithm::XorShift;
    config
}

/// What the table did that the model did not, in a sentence.
struct Difference(String);

type Checked = Result<(), Difference>;

impl Difference {
    /// The reason for which a case fails.
    fn at(self, place: &str) -> TestCaseError {
        TestCaseError::fail(format!("{place}: {}", self.0))
    }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Checked {
    if seen == expected {
        return Ok(());
    }
    let difference = format!("{what}: saw {seen:?}, expected {expected:?}");
    Err(Difference(difference))
}

/// A table and its model, to which the same is done.
struct Case {
    model: Model,
    rig: Rig,
    telling: Telling,
    /// The ids of flights, learned as they are seen.
    names: BTreeMap<FlightId, FlightNo>,
}

impl Case {
    fn new(script: &Script) -> Self {
        Self {
            model: Model::new(script.policy),
            rig: Rig::new(script),
            telling: script.telling,
            names: BTreeMap::new(),
        }
    }

    fn step(&mut self, op: Op) -> Checked {
        self.apply(op).unwrap_or(Ok(()))?;
        self.compare()
    }

    /// Does it, if there is something to do it to.
    fn apply(&mut self, op: Op) -> Option<Checked> {
        let (calls, flights) = (self.model.held(), self.model.alive());
        let drains = self.model.drains();
        match op {
            Op::Call(key, temper) => {
                let call = self.make(key, temper);
                return Some(self.poll(call, Bell::One));
            }
            Op::Make(key, temper) => {
                self.make(key, temper);
            }
            Op::Poll(call, bell) => return Some(self.poll(call.of(&calls)?, bell)),
            Op::Leave(call) => self.leave(call.of(&calls)?),
            Op::Forget(key) => return Some(self.forget(key)),
            Op::Land(flight) => self.land(flight.of(&flights)?),
            Op::Panic(flight) => self.panic(flight.of(&flights)?),
            Op::Ask(flight, key, temper) => self.ask(flight.of(&flights)?, key, temper),
            Op::Withdraw(flight) => self.withdraw(flight.of(&flights)?),
            Op::Run(flight) => self.run(flight.of(&flights)?),
            Op::RunAll => flights.into_iter().for_each(|flight| self.run(flight)),
            Op::LoseRuntime(flight) => self.lose_runtime(flight.of(&flights)?),
            Op::Advance(millis) => self.advance(Duration::from_millis(millis)),
            Op::Drain => return Some(self.drain()),
            Op::Deadline(drain) => self.deadline(drain.of(&drains)?),
            Op::PollDrain(drain) => return Some(self.poll_drain(drain.of(&drains)?)),
            Op::DropDrain(drain) => self.drop_drain(drain.of(&drains)?),
        }
        Some(Ok(()))
    }

    /// Lets go of everything, in the course of which every flight must end.
    fn finish(&mut self) -> Checked {
        self.land_all()?;
        // Outcomes are fetched. A call that was not polled yet opens a flight once more, and leaves it.
        for call in self.model.held() {
            self.poll(call, Bell::Other)?;
        }
        for call in self.model.held() {
            self.leave(call);
            self.compare()?;
        }
        self.land_all()?;
        // 20
        same("counts", &self.rig.counts(), &[0, 0, 0])?;
        // 8: a flight has one id. That an id has one flight, every step has shown.
        let flights: BTreeSet<_> = self.names.values().collect();
        same("flights by id", &self.names.len(), &flights.len())
    }
}

/// Each operation, done to both.
impl Case {
    /// Has every flight end.
    fn land_all(&mut self) -> Checked {
        // Again, because what the work of one was told can open another.
        while !self.model.alive().is_empty() {
            for flight in self.model.alive() {
                self.land(flight);
                self.run(flight);
                self.compare()?;
            }
        }
        Ok(())
    }

    fn make(&mut self, key: Name, temper: Temper) -> CallNo {
        let caller = self.rig.make(key, temper);
        self.rig.hold(caller);
        self.model.make(key, temper, By::Test)
    }

    fn poll(&mut self, call: CallNo, bell: Bell) -> Checked {
        let polled = self.rig.poll(call, bell);
        let expected = self.model.poll(call, bell);
        self.compare_polled(call, polled, &expected)
    }

    fn leave(&mut self, call: CallNo) {
        self.rig.leave(call);
        self.model.leave(call);
    }

    fn forget(&mut self, key: Name) -> Checked {
        // 5
        same("forgotten", &self.rig.forget(key), &self.model.forget(key))
    }

    fn land(&mut self, flight: FlightNo) {
        self.rig.tell(self.model.leader(flight), Word::Land);
        self.model.tell(flight, Word::Land);
    }

    fn panic(&mut self, flight: FlightNo) {
        self.rig.tell(self.model.leader(flight), Word::Panic);
        self.model.tell(flight, Word::Panic);
    }

    fn ask(&mut self, flight: FlightNo, key: Name, temper: Temper) {
        let caller = self.rig.make(key, temper);
        self.rig.tell(self.model.leader(flight), Word::Ask(caller));
        let call = self.model.make(key, temper, By::Work);
        self.model.tell(flight, Word::Ask(call));
    }

    fn withdraw(&mut self, flight: FlightNo) {
        self.rig.tell(self.model.leader(flight), Word::Withdraw);
        self.model.tell(flight, Word::Withdraw);
    }

    fn run(&mut self, flight: FlightNo) {
        self.rig.run(self.model.leader(flight));
        self.model.run(flight);
    }

    fn lose_runtime(&mut self, flight: FlightNo) {
        self.rig.lose_runtime(self.model.leader(flight));
        self.model.lose_runtime(flight);
    }

    fn advance(&mut self, by: Duration) {
        self.rig.advance(by);
        self.model.advance(by);
    }

    fn drain(&mut self) -> Checked {
        self.rig.drain();
        let drain = self.model.drain();
        self.poll_drain(drain)
    }

    fn deadline(&mut self, drain: usize) {
        self.rig.deadline(drain);
        self.model.deadline(drain);
    }

    fn poll_drain(&mut self, drain: usize) -> Checked {
        // 23
        let (seen, expected) = (self.rig.poll_drain(drain), self.model.poll_drain(drain));
        same("cancelled by a drain", &seen, &expected)
    }

    fn drop_drain(&mut self, drain: usize) {
        self.rig.drop_drain(drain);
        self.model.drop_drain(drain);
    }
}

/// What can be seen of the table, against the model.
impl Case {
    fn compare(&mut self) -> Checked {
        // 13, 19, 20
        let counts = self.rig.counts();
        same("flights, callers, entries", &counts, &self.model.counts())?;
        for call in self.model.calls() {
            // 14, 15: called once, polled by its task alone and dropped in time, or dropped unused.
            let (seen, expected) = (self.rig.work(call), self.model.work(call));
            same(&format!("work of call {call}"), &seen, expected)?;
            // 10
            let (seen, expected) = (self.rig.wakes(call), self.model.wakes(call));
            same(&format!("wakes of call {call}"), &seen, &expected)?;
        }
        for drain in self.model.drains() {
            // 23: it may be woken for less.
            let is_woken = self.rig.is_woken(drain) || !self.model.is_drained(drain);
            same(&format!("wake of drain {drain}"), &is_woken, &true)?;
        }
        self.compare_heard()?;
        self.compare_ended()
    }

    fn compare_polled(&mut self, call: CallNo, seen: Poll<Outcome>, expected: &OneOf) -> Checked {
        let seen = match seen {
            Poll::Ready(outcome) => Polled::from(outcome),
            Poll::Pending => Polled::Pending,
        };
        let flight = self.model.flight(call);
        let seen = seen.named(|id| self.name(id, flight));
        if expected.contains(&seen) {
            return Ok(());
        }
        let difference = format!("call {call}: saw {seen:?}, expected one of {expected:?}");
        Err(Difference(difference))
    }

    /// 8, 9, 18: what the calls of works came to.
    fn compare_heard(&mut self) -> Checked {
        let (seen, expected) = (self.rig.take_heard(), self.model.take_heard());
        let calls: Vec<_> = seen.iter().map(|(call, _)| *call).collect();
        let expected_calls = expected.iter().map(|(call, _)| *call).collect();
        same("calls of works that are over", &calls, &expected_calls)?;
        for ((call, outcome), (_, expected)) in seen.into_iter().zip(expected) {
            self.compare_polled(call, Poll::Ready(outcome), &expected)?;
        }
        Ok(())
    }

    /// 8, 25: what the observer was told, once a flight.
    fn compare_ended(&mut self) -> Checked {
        let (seen, expected) = (self.rig.take_ended(), self.model.take_ended());
        if let Telling::Nobody = self.telling {
            return Ok(());
        }
        same("flights that ended", &seen.len(), &expected.len())?;
        for (seen, expected) in seen.into_iter().zip(expected) {
            let mut names = [Some(expected.flight), expected.would_have_joined].into_iter();
            let seen = seen.named(|id| self.name(id, names.next().flatten()));
            same("told", &seen, &expected)?;
        }
        Ok(())
    }

    /// The flight that has this id: `expected`, if the id is seen for the first time.
    fn name(&mut self, id: FlightId, expected: Option<FlightNo>) -> FlightNo {
        let expected = expected.unwrap_or(FlightNo::MAX);
        *self.names.entry(id).or_insert(expected)
    }
}
