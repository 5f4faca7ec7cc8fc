//! What must come of what is done: the contract as plain sequential code. Every flight and every call
//! that ever was is in a list, and each rule is one search through it. The numbers in the comments are the
//! contract's. It does not know how the table is built; where the contract leaves open which of several
//! things happens, it says all of them.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use single_flight::{Abandoned, Error, Policy, Role, Sharing};

use crate::outcome::{End, Ended, Polled, Work};
use crate::script::{Bell, Name, Temper};

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
    now: Duration,
    draining: bool,
    flights: Vec<Flight>,
    calls: Vec<Call>,
    drains: Vec<Drain>,
    ended: Vec<Ended<FlightNo>>,
    heard: Vec<(CallNo, OneOf)>,
}

/// Invariant: a flight that is open has no end, and one whose work is gone has.
struct Flight {
    key: Name,
    leader: CallNo,
    opened: Duration,
    open: bool,
    end: Option<End>,
    /// Who is on it; once it has an end, who was on it then.
    aboard: BTreeSet<CallNo>,
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
    temper: Temper,
    by: By,
    state: State,
    /// The flight that it boarded, also when it is over.
    flight: Option<FlightNo>,
    work: Work,
    /// The waker of the last poll that the test made.
    bell: Option<Bell>,
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
    late: bool,
}

impl Model {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: Duration::ZERO,
            draining: false,
            flights: Vec::new(),
            calls: Vec::new(),
            drains: Vec::new(),
            ended: Vec::new(),
            heard: Vec::new(),
        }
    }

    pub(crate) fn make(&mut self, key: Name, temper: Temper, by: By) -> CallNo {
        self.calls.push(Call {
            key,
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

/// Joining and opening.
impl Model {
    /// The first poll of a call, made by the work of `waiter` if there is one.
    fn board(&mut self, call: CallNo, waiter: Option<FlightNo>) -> OneOf {
        let key = self.calls[call].key;
        self.close_if_stale(key);
        let open = self.flights.iter().position(|flight| flight.is_open(key));
        let refusals = match open {
            Some(flight) => self.refusals_to_join(flight, waiter),
            None => self.refusals_to_open(key),
        };
        if !refusals.is_empty() {
            self.end_call(call);
            return refusals.into_iter().map(Polled::Refused).collect();
        }
        // 2: joins what is open, or else leads.
        let boarded = open.unwrap_or_else(|| self.open(call));
        if open.is_some() {
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
        let Some(window) = self.policy.join_window else {
            return;
        };
        for flight in self.flights.iter_mut().filter(|flight| flight.is_open(key)) {
            flight.open = self.now - flight.opened <= window;
        }
    }

    fn refusals_to_join(&self, flight: FlightNo, waiter: Option<FlightNo>) -> Vec<Error> {
        let mut refusals = Vec::new();
        // 18
        if waiter.is_some_and(|waiter| self.is_part_of(waiter, flight)) {
            refusals.push(Error::WouldDeadlock);
        }
        // 19: those who left make room.
        let limit = self.policy.callers_per_flight;
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
        if self.policy.sharing == Sharing::Observed {
            return refusals;
        }
        // 19
        let limit = self.policy.flights;
        if self.alive().len() >= limit {
            refusals.push(Error::TooManyFlights { limit });
        }
        let limit = self.policy.callers_per_flight;
        if limit == 0 {
            refusals.push(Error::TooManyCallers { limit });
        }
        // 7
        if let Some(limit) = self.policy.executions_per_key.map(|limit| limit.max(2))
            && self.executions(key).count() >= limit
        {
            refusals.push(Error::TooManyExecutions { limit });
        }
        refusals
    }

    fn open(&mut self, leader: CallNo) -> FlightNo {
        let key = self.calls[leader].key;
        let observed = self.policy.sharing == Sharing::Observed;
        // 25: the one that was alone, of those that have overlapped without a gap since.
        let earlier = self.executions(key).next();
        let alone =
            earlier.map(|earlier| self.flights[earlier].would_have_joined.unwrap_or(earlier));
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
            would_have_joined: alone.filter(|_| observed),
        });
        self.flights.len() - 1
    }

    /// 7: an execution counts until its work is dropped.
    fn executions(&self, key: Name) -> impl Iterator<Item = FlightNo> {
        let alive = self.alive().into_iter();
        alive.filter(move |flight| self.flights[*flight].key == key)
    }
}

impl Flight {
    fn is_open(&self, key: Name) -> bool {
        self.open && self.key == key
    }
}

/// Ends: of calls, of flights.
impl Model {
    /// What a call that is on a flight gets now.
    fn fetch(&mut self, call: CallNo) -> Polled<FlightNo> {
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

    fn end_call(&mut self, call: CallNo) {
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
    fn finish(&mut self, number: FlightNo, end: End) {
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

/// What runs in the task of a flight.
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

/// What there is now.
impl Model {
    /// Flights, callers, entries.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let under_way = self.under_way();
        let callers = under_way.map(|flight| self.flights[flight].aboard.len());
        let open = self.flights.iter().filter(|flight| flight.open);
        [self.alive().len(), callers.sum(), open.count()]
    }

    /// Flights whose work is not dropped.
    pub(crate) fn alive(&self) -> Vec<FlightNo> {
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

    /// Calls that the test makes and that are not over.
    pub(crate) fn held(&self) -> Vec<CallNo> {
        let is_held = |call: &Call| call.by == By::Test && call.state != State::Over;
        let calls = 0..self.calls.len();
        calls.filter(|call| is_held(&self.calls[*call])).collect()
    }

    /// All calls ever.
    pub(crate) fn calls(&self) -> std::ops::Range<CallNo> {
        0..self.calls.len()
    }

    /// Drains under way.
    pub(crate) fn drains(&self) -> Vec<usize> {
        (0..self.drains.len()).collect()
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
