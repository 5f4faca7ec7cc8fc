//! What must come of what is done: the contract as plain sequential code. Every flight and every call
//! that ever was is in a list, and each rule is one search through it. The numbers in the comments are the
//! contract's. It does not know how the table is built; where the contract leaves open which of several
//! things happens, it says all of them.

mod boarding;
mod ends;
mod tasks;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use single_flight::Policy;

use crate::outcome::{End, Ended, Polled, UnderWay, Work};
use crate::script::{Bell, Name, Takes, Telling, Temper, There};

/// The number of a flight, in the order of opening.
pub(crate) type FlightNo = usize;
/// The number of a call, in the order of making.
pub(crate) type CallNo = usize;
/// All that a poll may come to.
pub(crate) type OneOf = Vec<Polled<FlightNo>>;

/// What the work of a flight is told to do. `C` is a call.
pub(crate) enum Word<C> {
    Land,
    Panic,
    Ask(C),
    Withdraw,
}

pub(crate) struct Model {
    policy: Policy,
    telling: Telling,
    now: Duration,
    /// Once a drain has started, for good.
    draining: bool,
    /// All there ever were, by number.
    flights: Vec<Flight>,
    /// All there ever were, by number.
    calls: Vec<Call>,
    /// Those under way.
    drains: Vec<Drain>,
    /// What the observer is told.
    ended: Vec<Ended<FlightNo>>,
    /// What the calls of works come to.
    heard: Vec<(CallNo, OneOf)>,
}

/// Invariant: at most one flight of a key is open. One that is has no end, and one whose work is gone has.
struct Flight {
    key: Name,
    leader: CallNo,
    opened: Duration,
    /// Whether callers join it.
    open: bool,
    /// Written once.
    end: Option<End>,
    /// Who is on it; once it has an end, who was on it then.
    aboard: BTreeSet<CallNo>,
    /// All who were ever on it.
    joined: usize,
    task: Task,
    /// What its work was told and has not heard.
    told: VecDeque<Word<CallNo>>,
    /// The calls for which its work waits, in the order in which they were made.
    asks: Vec<CallNo>,
    would_have_joined: Option<FlightNo>,
}

/// How far the task of a flight has come.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// The work is not called yet.
    Spawned,
    /// The work waits.
    Started,
    /// The work is dropped.
    Gone,
}

struct Call {
    key: Name,
    takes: Takes,
    temper: Temper,
    by: By,
    state: State,
    /// The flight that it boarded, also when it is over.
    flight: Option<FlightNo>,
    work: Work,
    /// The waker of its last poll, if it is the test that polls it.
    bell: Option<Bell>,
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
enum State {
    Unpolled,
    Aboard,
    Over,
}

struct Drain {
    /// Its deadline has come.
    late: bool,
}

impl Model {
    pub(crate) fn new(policy: Policy, telling: Telling) -> Self {
        Self {
            policy,
            telling,
            now: Duration::ZERO,
            draining: false,
            flights: Vec::new(),
            calls: Vec::new(),
            drains: Vec::new(),
            ended: Vec::new(),
            heard: Vec::new(),
        }
    }

    pub(crate) fn make(&mut self, key: Name, takes: Takes, temper: Temper, by: By) -> CallNo {
        self.calls.push(Call {
            key,
            takes,
            temper,
            by,
            state: State::Unpolled,
            flight: None,
            work: Work::default(),
            bell: None,
            wakes: [0, 0],
        });
        self.calls.len() - 1
    }

    pub(crate) fn poll(&mut self, call: CallNo, bell: Bell) -> OneOf {
        self.calls[call].bell = Some(bell);
        match self.calls[call].state {
            State::Unpolled => self.board(call, None),
            _ => vec![self.fetch(call)],
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
    }
}

impl Flight {
    fn is_open(&self, key: Name) -> bool {
        self.open && self.key == key
    }
}

/// What there is now.
impl Model {
    /// Flights, callers, entries.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let under_way = self.under_way();
        let callers = under_way.map(|flight| self.flights[flight].aboard.len());
        let open = self.flights.iter().filter(|flight| flight.open);
        [self.alive().len(), callers.sum(), open.count()]
    }

    /// What a visit shows, in an order that does not depend on ids.
    pub(crate) fn shown(&self) -> Vec<UnderWay> {
        let aged = self.policy.join_window.is_some() || matches!(self.telling, Telling::Observer);
        let alive = self.alive().into_iter().map(|flight| {
            let flight = &self.flights[flight];
            let callers = match flight.end {
                None => flight.aboard.len(),
                Some(_) => 0,
            };
            UnderWay {
                key: flight.key,
                callers,
                age: aged.then(|| self.now - flight.opened),
                joinable: flight.open && !self.is_stale(flight),
            }
        });
        let mut shown: Vec<_> = alive.collect();
        shown.sort();
        shown
    }

    /// Flights whose work is not dropped.
    fn alive(&self) -> Vec<FlightNo> {
        let flights = 0..self.flights.len();
        flights
            .filter(|flight| self.flights[*flight].task != Task::Gone)
            .collect()
    }

    /// Flights without an end.
    fn under_way(&self) -> impl Iterator<Item = FlightNo> {
        let flights = 0..self.flights.len();
        flights.filter(|flight| self.flights[*flight].end.is_none())
    }

    pub(crate) fn there(&self) -> There {
        let is_held = |call: &Call| call.by == By::Test && call.state != State::Over;
        let mut calls = self.calls();
        calls.retain(|call| is_held(&self.calls[*call]));
        There {
            calls,
            flights: self.alive(),
            drains: (0..self.drains.len()).collect(),
        }
    }

    /// All calls ever.
    pub(crate) fn calls(&self) -> Vec<CallNo> {
        (0..self.calls.len()).collect()
    }

    /// The flight that a call is on.
    fn aboard(&self, call: CallNo) -> Option<FlightNo> {
        let Call { state, flight, .. } = self.calls[call];
        flight.filter(|_| state == State::Aboard)
    }

    /// The flight that a call is or was on.
    pub(crate) fn flight(&self, call: CallNo) -> Option<FlightNo> {
        self.calls[call].flight
    }

    pub(crate) fn leader(&self, flight: FlightNo) -> CallNo {
        self.flights[flight].leader
    }

    /// What became of the work of a call.
    pub(crate) fn work(&self, call: CallNo) -> &Work {
        &self.calls[call].work
    }

    /// How often each of the wakers of a call was woken.
    pub(crate) fn wakes(&self, call: CallNo) -> [usize; 2] {
        self.calls[call].wakes
    }

    /// What the observer must have been told since this was last asked.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended<FlightNo>> {
        mem::take(&mut self.ended)
    }

    /// What the calls of works must have come to since this was last asked.
    pub(crate) fn take_heard(&mut self) -> Vec<(CallNo, OneOf)> {
        mem::take(&mut self.heard)
    }
}
