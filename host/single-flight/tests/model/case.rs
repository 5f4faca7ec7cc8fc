//! One case: each operation of a script is done to the table and to the model, and whatever can be seen of
//! the one is compared with what the other says. It knows no rule of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::task::Poll;
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use single_flight::FlightId;

use crate::job::Outcome;
use crate::model::{By, CallNo, FlightNo, Model, OneOf, Word};
use crate::outcome::Polled;
use crate::rig::Rig;
use crate::script::{Bell, Name, Op, Script, Takes, Telling, Temper};

/// A table and its model, to which the same is done.
pub(crate) struct Case {
    model: Model,
    rig: Rig,
    telling: Telling,
    /// The ids of flights, learned as they are seen.
    names: BTreeMap<FlightId, FlightNo>,
    done: Vec<Op<usize>>,
}

/// What the table did that the model did not, in a sentence.
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
            model: Model::new(script.policy, script.telling),
            rig: Rig::new(script),
            telling: script.telling,
            names: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        let checked = self.run_checked(ops);
        checked.map_err(|difference| self.failure(&difference))
    }

    fn run_checked(&mut self, ops: &[Op]) -> Checked {
        for op in ops {
            if let Some(op) = op.of(&self.model.there()) {
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
            Op::Call(key, takes, temper) => {
                let call = self.make(key, takes, temper);
                self.poll(call, Bell::One)?;
            }
            Op::Make(key, takes, temper) => _ = self.make(key, takes, temper),
            Op::Poll(call, bell) => self.poll(call, bell)?,
            Op::Leave(call) => self.leave(call),
            Op::Forget(key) => self.forget(key)?,
            Op::Land(flight) => self.land(flight),
            Op::Panic(flight) => self.panic(flight),
            Op::Ask(flight, key, takes, temper) => self.ask(flight, key, takes, temper),
            Op::Withdraw(flight) => self.withdraw(flight),
            Op::Run(flight) => self.run_task(flight),
            Op::RunAll => {
                let flights = self.model.there().flights;
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

    /// Lets go of everything, in the course of which every flight must end.
    fn finish(&mut self) -> Checked {
        self.land_all()?;
        // Outcomes are fetched. A call that was not polled yet opens a flight once more, and leaves it.
        for call in self.model.there().calls {
            self.step(Op::Poll(call, Bell::Other))?;
        }
        for call in self.model.there().calls {
            self.step(Op::Leave(call))?;
        }
        self.land_all()?;
        // 20
        same("counts", &self.rig.counts(), &[0, 0, 0])?;
        // 8: a flight has one id. That an id has one flight, every step has shown.
        let flights: BTreeSet<_> = self.names.values().collect();
        same("flights by id", &self.names.len(), &flights.len())
    }

    fn land_all(&mut self) -> Checked {
        // Again, because what the work of one was told can open another.
        while !self.model.there().flights.is_empty() {
            for flight in self.model.there().flights {
                self.step(Op::Land(flight))?;
                self.step(Op::Run(flight))?;
            }
        }
        Ok(())
    }

    /// Why the case fails: the difference, and what was done up to it, by the numbers of calls and
    /// flights.
    fn failure(&self, difference: &Difference) -> TestCaseError {
        let done: Vec<_> = self.done.iter().map(|op| format!("  {op:?}")).collect();
        let (Difference(difference), done) = (difference, done.join("\n"));
        TestCaseError::fail(format!("{difference}, after\n{done}\n"))
    }
}

/// Each operation, done to both.
impl Case {
    fn make(&mut self, key: Name, takes: Takes, temper: Temper) -> CallNo {
        let caller = self.rig.make(key, takes, temper);
        self.rig.hold(caller);
        self.model.make(key, takes, temper, By::Test)
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

    fn ask(&mut self, flight: FlightNo, key: Name, takes: Takes, temper: Temper) {
        let caller = self.rig.make(key, takes, temper);
        self.rig.tell(self.model.leader(flight), Word::Ask(caller));
        let call = self.model.make(key, takes, temper, By::Work);
        self.model.tell(flight, Word::Ask(call));
    }

    fn withdraw(&mut self, flight: FlightNo) {
        self.rig.tell(self.model.leader(flight), Word::Withdraw);
        self.model.tell(flight, Word::Withdraw);
    }

    fn run_task(&mut self, flight: FlightNo) {
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
        let (seen, expected) = (self.rig.under_way(), self.model.shown());
        same("under way", &seen, &expected)?;
        for call in self.model.calls() {
            // 14, 15: called once, polled by its task alone and dropped in time, or dropped unused.
            let (seen, expected) = (self.rig.work(call), self.model.work(call));
            same(&format!("work of call {call}"), &seen, expected)?;
            // 10
            let (seen, expected) = (self.rig.wakes(call), self.model.wakes(call));
            same(&format!("wakes of call {call}"), &seen, &expected)?;
        }
        for drain in self.model.there().drains {
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
