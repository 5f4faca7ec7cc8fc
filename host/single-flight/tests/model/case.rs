//! One case: each operation of a script is applied to the table and to the model, and their observable states
//! are compared. Nothing here knows a rule of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::task::Poll;
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use single_flight::FlightId;

use crate::harness::Harness;
use crate::model::{By, CallNo, Command, FlightNo, Model, OneOf};
use crate::outcome::Polled;
use crate::script::{Fault, KeyName, Mode, Observing, Op, Script, WhichWaker};
use crate::scripted_work::Outcome;

/// A table and its model.
pub(crate) struct Case {
    model: Model,
    harness: Harness,
    observing: Observing,
    /// The numbers of the flight ids that were seen.
    numbers: BTreeMap<FlightId, FlightNo>,
    done: Vec<Op<usize>>,
}

/// A difference between the table and the model, in a sentence.
struct Difference(String);

type Checked = Result<(), Difference>;

fn same<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Checked {
    if seen == expected {
        return Ok(());
    }
    let difference = format!("{what}: saw {seen:?}, expected {expected:?}");
    Err(Difference(difference))
}

impl Case {
    pub(crate) fn new(script: &Script) -> Self {
        Self {
            model: Model::new(script.policy, script.observing),
            harness: Harness::new(script),
            observing: script.observing,
            numbers: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        let checked = self.run_checked(ops);
        checked.map_err(|difference| self.failure(&difference))
    }

    fn run_checked(&mut self, ops: &[Op]) -> Checked {
        for op in ops {
            if let Some(op) = op.of(&self.model.available()) {
                self.step(op)?;
            }
        }
        self.finish()
    }

    fn step(&mut self, op: Op<usize>) -> Checked {
        self.done.push(op);
        self.apply(op)?;
        self.compare()
    }

    fn apply(&mut self, op: Op<usize>) -> Checked {
        match op {
            Op::Call(key, mode, fault) => {
                let call = self.make(key, mode, fault);
                self.poll(call, WhichWaker::First)?;
            }
            Op::Make(key, mode, fault) => _ = self.make(key, mode, fault),
            Op::Poll(call, waker) => self.poll(call, waker)?,
            Op::Leave(call) => self.leave(call),
            Op::Forget(key) => self.forget(key)?,
            Op::Land(flight) => self.land(flight),
            Op::Panic(flight) => self.panic(flight),
            Op::Nest(flight, key, mode, fault) => self.nest(flight, key, mode, fault),
            Op::Withdraw(flight) => self.withdraw(flight),
            Op::Run(flight) => self.run_task(flight),
            Op::RunAll => {
                let flights = self.model.available().flights;
                flights.into_iter().for_each(|flight| self.run_task(flight));
            }
            Op::LoseRuntime(flight) => self.lose_runtime(flight),
            Op::Advance(millis) => self.advance(Duration::from_millis(millis)),
            Op::Drain => self.drain()?,
            Op::Deadline(drain) => self.deadline(drain),
            Op::PollDrain(drain) => self.poll_drain(drain)?,
            Op::DropDrain(drain) => self.drop_drain(drain),
        }
        Ok(())
    }

    /// Completes and drops everything, after which every flight must have ended.
    fn finish(&mut self) -> Checked {
        self.land_all()?;
        // Takes the outcomes. A call that was not polled yet opens a flight, and leaves it.
        for call in self.model.available().calls {
            self.step(Op::Poll(call, WhichWaker::Second))?;
        }
        for call in self.model.available().calls {
            self.step(Op::Leave(call))?;
        }
        self.land_all()?;
        // contract 20
        same("counts", &self.harness.counts(), &[0, 0, 0])?;
        // contract 8: a flight has one id. Every step has checked that an id has one flight.
        let flights: BTreeSet<_> = self.numbers.values().collect();
        same("flights by id", &self.numbers.len(), &flights.len())
    }

    fn land_all(&mut self) -> Checked {
        // Repeated, because a command to the work of one flight can open another.
        while !self.model.available().flights.is_empty() {
            for flight in self.model.available().flights {
                self.step(Op::Land(flight))?;
                self.step(Op::Run(flight))?;
            }
        }
        Ok(())
    }

    /// The difference, and the operations up to it with the numbers of calls and flights.
    fn failure(&self, difference: &Difference) -> TestCaseError {
        let done: Vec<_> = self.done.iter().map(|op| format!("  {op:?}")).collect();
        let (Difference(difference), done) = (difference, done.join("\n"));
        TestCaseError::fail(format!("{difference}, after\n{done}\n"))
    }
}

/// The operations, each applied to both.
impl Case {
    fn make(&mut self, key: KeyName, mode: Mode, fault: Fault) -> CallNo {
        let caller = self.harness.make(key, mode, fault);
        self.harness.hold(caller);
        self.model.make(key, mode, fault, By::Test)
    }

    fn poll(&mut self, call: CallNo, waker: WhichWaker) -> Checked {
        let polled = self.harness.poll(call, waker);
        let expected = self.model.poll(call, waker);
        self.compare_polled(call, polled, &expected)
    }

    fn leave(&mut self, call: CallNo) {
        self.harness.leave(call);
        self.model.leave(call);
    }

    fn forget(&mut self, key: KeyName) -> Checked {
        // contract 5
        same(
            "forgotten",
            &self.harness.forget(key),
            &self.model.forget(key),
        )
    }

    fn land(&mut self, flight: FlightNo) {
        self.harness.send(self.model.leader(flight), Command::Land);
        self.model.send(flight, Command::Land);
    }

    fn panic(&mut self, flight: FlightNo) {
        self.harness.send(self.model.leader(flight), Command::Panic);
        self.model.send(flight, Command::Panic);
    }

    fn nest(&mut self, flight: FlightNo, key: KeyName, mode: Mode, fault: Fault) {
        let caller = self.harness.make(key, mode, fault);
        self.harness
            .send(self.model.leader(flight), Command::Call(caller));
        let call = self.model.make(key, mode, fault, By::Work);
        self.model.send(flight, Command::Call(call));
    }

    fn withdraw(&mut self, flight: FlightNo) {
        self.harness
            .send(self.model.leader(flight), Command::Withdraw);
        self.model.send(flight, Command::Withdraw);
    }

    fn run_task(&mut self, flight: FlightNo) {
        self.harness.run(self.model.leader(flight));
        self.model.run(flight);
    }

    fn lose_runtime(&mut self, flight: FlightNo) {
        self.harness.lose_runtime(self.model.leader(flight));
        self.model.lose_runtime(flight);
    }

    fn advance(&mut self, by: Duration) {
        self.harness.advance(by);
        self.model.advance(by);
    }

    fn drain(&mut self) -> Checked {
        self.harness.drain();
        let drain = self.model.drain();
        self.poll_drain(drain)
    }

    fn deadline(&mut self, drain: usize) {
        self.harness.deadline(drain);
        self.model.deadline(drain);
    }

    fn poll_drain(&mut self, drain: usize) -> Checked {
        // contract 23
        let (seen, expected) = (self.harness.poll_drain(drain), self.model.poll_drain(drain));
        same("cancelled by a drain", &seen, &expected)
    }

    fn drop_drain(&mut self, drain: usize) {
        self.harness.drop_drain(drain);
        self.model.drop_drain(drain);
    }
}

/// The comparisons.
impl Case {
    fn compare(&mut self) -> Checked {
        // contract 13, 19, 20
        let counts = self.harness.counts();
        same("flights, callers, entries", &counts, &self.model.counts())?;
        let (seen, expected) = (self.harness.snapshots(), self.model.snapshots());
        same("snapshots", &seen, &expected)?;
        for call in self.model.calls() {
            // contract 14, 15: called once, polled by its task alone and dropped in time, or dropped unused.
            let (seen, expected) = (self.harness.work(call), self.model.work(call));
            same(&format!("work of call {call}"), &seen, expected)?;
            // contract 10
            let (seen, expected) = (self.harness.wakes(call), self.model.wakes(call));
            same(&format!("wakes of call {call}"), &seen, &expected)?;
        }
        for drain in self.model.available().drains {
            // contract 23: it may be woken early.
            let is_woken = self.harness.is_woken(drain) || !self.model.is_drained(drain);
            same(&format!("wake of drain {drain}"), &is_woken, &true)?;
        }
        self.compare_nested_outcomes()?;
        self.compare_ended()
    }

    fn compare_polled(&mut self, call: CallNo, seen: Poll<Outcome>, expected: &OneOf) -> Checked {
        let seen = match seen {
            Poll::Ready(outcome) => Polled::from(outcome),
            Poll::Pending => Polled::Pending,
        };
        let flight = self.model.flight(call);
        let seen = seen.map_flight(|id| self.number(id, flight));
        if expected.contains(&seen) {
            return Ok(());
        }
        let difference = format!("call {call}: saw {seen:?}, expected one of {expected:?}");
        Err(Difference(difference))
    }

    // contract 8, 9, 18
    /// The outcomes of nested calls.
    fn compare_nested_outcomes(&mut self) -> Checked {
        let (seen, expected) = (
            self.harness.take_nested_outcomes(),
            self.model.take_nested_outcomes(),
        );
        let calls: Vec<_> = seen.iter().map(|(call, _)| *call).collect();
        let expected_calls = expected.iter().map(|(call, _)| *call).collect();
        same("nested calls that have completed", &calls, &expected_calls)?;
        for ((call, outcome), (_, expected)) in seen.into_iter().zip(expected) {
            self.compare_polled(call, Poll::Ready(outcome), &expected)?;
        }
        Ok(())
    }

    // contract 8, 25
    /// The reports to the observer, one per flight.
    fn compare_ended(&mut self) -> Checked {
        let (seen, expected) = (self.harness.take_ended(), self.model.take_ended());
        if let Observing::Off = self.observing {
            return Ok(());
        }
        same("flights that ended", &seen.len(), &expected.len())?;
        for (seen, expected) in seen.into_iter().zip(expected) {
            let mut numbers = [Some(expected.flight), expected.would_have_joined].into_iter();
            let seen = seen.map_flight(|id| self.number(id, numbers.next().flatten()));
            same("report", &seen, &expected)?;
        }
        Ok(())
    }

    /// The number of the flight that has this id: `expected` if the id is seen for the first time.
    fn number(&mut self, id: FlightId, expected: Option<FlightNo>) -> FlightNo {
        let expected = expected.unwrap_or(FlightNo::MAX);
        *self.numbers.entry(id).or_insert(expected)
    }
}
