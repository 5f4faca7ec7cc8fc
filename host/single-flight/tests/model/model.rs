//! The expected results: the contract as plain sequential code. All flights and calls, including those that
//! have ended, are in lists, and each rule is one search. The model does not share the table's structure.
//! Where the contract allows several results, it returns all of them.

mod ends;
mod joining;
mod tasks;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use single_flight::Policy;

use crate::outcome::{EndedRecord, Polled, RecordedEnd, Snapshot, WorkCounts};
use crate::script::{Available, Fault, KeyName, Mode, Observing, WhichWaker};

/// The number of a flight, in the order of opening.
pub(crate) type FlightNo = usize;
/// The number of a call, in the order of making.
pub(crate) type CallNo = usize;
/// All results that a poll may have.
pub(crate) type OneOf = Vec<Polled<FlightNo>>;

/// A command to the work of a flight. `C` is a call.
pub(crate) enum Command<C> {
    Land,
    Panic,
    Call(C),
    Withdraw,
}

pub(crate) struct Model {
    policy: Policy,
    observing: Observing,
    now: Duration,
    /// Set when a drain starts, and never reset.
    draining: bool,
    /// By number, including those that have ended.
    flights: Vec<ModelFlight>,
    /// By number, including those that have ended.
    calls: Vec<ModelCall>,
    /// Those that have not ended.
    drains: Vec<ModelDrain>,
    /// The reports to the observer.
    ended: Vec<EndedRecord<FlightNo>>,
    /// The outcomes of nested calls.
    nested_outcomes: Vec<(CallNo, OneOf)>,
}

/// Invariant: at most one flight of a key is open. An open flight has no end. A flight whose work is dropped
/// has one.
struct ModelFlight {
    key: KeyName,
    leader: CallNo,
    opened: Duration,
    /// Whether callers join it.
    open: bool,
    /// Written once.
    end: Option<RecordedEnd>,
    /// The callers on it. Not changed after it has an end.
    attached: BTreeSet<CallNo>,
    /// The number of callers that ever joined.
    joined: usize,
    task: Task,
    /// The commands that its work has not executed.
    commands: VecDeque<Command<CallNo>>,
    /// The calls that its work waits for, in the order in which they were made.
    nested: Vec<CallNo>,
    would_have_joined: Option<FlightNo>,
}

/// The state of a flight's task.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// The work is not called yet.
    Spawned,
    /// The work waits.
    Started,
    /// The work is dropped.
    Gone,
}

struct ModelCall {
    key: KeyName,
    mode: Mode,
    fault: Fault,
    by: By,
    state: CallProgress,
    /// The flight that it joined or opened, also after it has completed.
    flight: Option<FlightNo>,
    work: WorkCounts,
    /// The waker of its last poll, if the test polls it.
    waker: Option<WhichWaker>,
    /// How often each of its wakers was woken.
    wakes: [usize; 2],
}

/// Who makes a call.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum By {
    Test,
    Work,
}

#[derive(Clone, Copy, PartialEq)]
enum CallProgress {
    Unpolled,
    Waiting,
    Completed,
}

struct ModelDrain {
    /// Its deadline is reached.
    late: bool,
}

impl Model {
    pub(crate) fn new(policy: Policy, observing: Observing) -> Self {
        Self {
            policy,
            observing,
            now: Duration::ZERO,
            draining: false,
            flights: Vec::new(),
            calls: Vec::new(),
            drains: Vec::new(),
            ended: Vec::new(),
            nested_outcomes: Vec::new(),
        }
    }

    pub(crate) fn make(&mut self, key: KeyName, mode: Mode, fault: Fault, by: By) -> CallNo {
        self.calls.push(ModelCall {
            key,
            mode,
            fault,
            by,
            state: CallProgress::Unpolled,
            flight: None,
            work: WorkCounts::default(),
            waker: None,
            wakes: [0, 0],
        });
        self.calls.len() - 1
    }

    pub(crate) fn poll(&mut self, call: CallNo, waker: WhichWaker) -> OneOf {
        self.calls[call].waker = Some(waker);
        match self.calls[call].state {
            CallProgress::Unpolled => self.first_poll(call, None),
            _ => vec![self.fetch(call)],
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
    }
}

impl ModelFlight {
    fn is_open(&self, key: KeyName) -> bool {
        self.open && self.key == key
    }
}

/// The current state.
impl Model {
    /// Flights, callers, entries.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let unsettled = self.unsettled();
        let callers = unsettled.map(|flight| self.flights[flight].attached.len());
        let open = self.flights.iter().filter(|flight| flight.open);
        [self.alive().len(), callers.sum(), open.count()]
    }

    /// The snapshots of a visit, in an order that does not depend on ids.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let aged = self.policy.join_window.is_some() || matches!(self.observing, Observing::On);
        let alive = self.alive().into_iter().map(|flight| {
            let flight = &self.flights[flight];
            let callers = match flight.end {
                None => flight.attached.len(),
                Some(_) => 0,
            };
            Snapshot {
                key: flight.key,
                callers,
                age: aged.then(|| self.now - flight.opened),
                joinable: flight.open && !self.is_stale(flight),
            }
        });
        let mut snapshots: Vec<_> = alive.collect();
        snapshots.sort();
        snapshots
    }

    /// Flights whose work is not dropped.
    fn alive(&self) -> Vec<FlightNo> {
        let flights = 0..self.flights.len();
        flights
            .filter(|flight| self.flights[*flight].task != Task::Gone)
            .collect()
    }

    /// Flights without an end.
    fn unsettled(&self) -> impl Iterator<Item = FlightNo> {
        let flights = 0..self.flights.len();
        flights.filter(|flight| self.flights[*flight].end.is_none())
    }

    pub(crate) fn available(&self) -> Available {
        let is_held =
            |call: &ModelCall| call.by == By::Test && call.state != CallProgress::Completed;
        let mut calls = self.calls();
        calls.retain(|call| is_held(&self.calls[*call]));
        Available {
            calls,
            flights: self.alive(),
            drains: (0..self.drains.len()).collect(),
        }
    }

    /// All calls, including those that have completed.
    pub(crate) fn calls(&self) -> Vec<CallNo> {
        (0..self.calls.len()).collect()
    }

    /// The flight that a call is on.
    fn current_flight(&self, call: CallNo) -> Option<FlightNo> {
        let ModelCall { state, flight, .. } = self.calls[call];
        flight.filter(|_| state == CallProgress::Waiting)
    }

    /// The flight that a call is or was on.
    pub(crate) fn flight(&self, call: CallNo) -> Option<FlightNo> {
        self.calls[call].flight
    }

    pub(crate) fn leader(&self, flight: FlightNo) -> CallNo {
        self.flights[flight].leader
    }

    /// The counts of a call's work.
    pub(crate) fn work(&self, call: CallNo) -> &WorkCounts {
        &self.calls[call].work
    }

    /// How often each of the wakers of a call was woken.
    pub(crate) fn wakes(&self, call: CallNo) -> [usize; 2] {
        self.calls[call].wakes
    }

    /// The expected reports to the observer since the last call of this.
    pub(crate) fn take_ended(&mut self) -> Vec<EndedRecord<FlightNo>> {
        mem::take(&mut self.ended)
    }

    /// The expected outcomes of nested calls since the last call of this.
    pub(crate) fn take_nested_outcomes(&mut self) -> Vec<(CallNo, OneOf)> {
        mem::take(&mut self.nested_outcomes)
    }
}
