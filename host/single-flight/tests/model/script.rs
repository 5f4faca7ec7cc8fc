//! What is done to a table, as proptest makes it up and shrinks it: a policy and a list of operations.
//! It does not know what comes of them.

use std::fmt;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use single_flight::{Abandoned, Policy, SharingMode};

/// The most operations before a drain: enough for a few generations of flights of one key.
const LONGEST: usize = if cfg!(miri) { 12 } else { 48 };
/// The most operations after a drain has started.
const LONGEST_DRAIN: usize = if cfg!(miri) { 4 } else { 12 };

/// A table, and what is done to it.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) policy: Policy,
    pub(crate) hashing: Hashing,
    pub(crate) telling: Telling,
    pub(crate) ops: Vec<Op>,
}

/// How keys hash.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hashing {
    Apart,
    /// All alike.
    Colliding,
}

/// Whom the table tells of its flights.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Telling {
    Observer,
    Nobody,
}

/// A key, but for how it hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    A,
    B,
    C,
}

/// What flight a call takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Takes {
    /// The one that is open, or its own where none is.
    Open,
    /// None but its own.
    Own,
}

/// What the work of a call does of its own accord. Otherwise it does as it is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Temper {
    Calm,
    /// Panics when it is called.
    Rash,
    /// Panics when what it returned is dropped, unless it has panicked before.
    Sore,
}

/// Which of the two wakers that each caller has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bell {
    One,
    Other,
}

/// One of those there are at that moment: counted from the oldest, and round again past the last.
#[derive(Clone, Copy)]
pub(crate) struct Pick(usize);

/// `P` says which call, flight or drain: by a [`Pick`], or by number once that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op<P = Pick> {
    /// Makes a call and polls it.
    Call(Name, Takes, Temper),
    /// Makes a call.
    Make(Name, Takes, Temper),
    /// Polls a call that is not over, be it for the first time.
    Poll(P, Bell),
    /// Drops a call that is not over.
    Leave(P),
    Forget(Name),
    /// Tells the work of a flight to return.
    Land(P),
    /// Tells the work of a flight to panic.
    Panic(P),
    /// Tells the work of a flight to make a call of its own and wait for it.
    Ask(P, Name, Takes, Temper),
    /// Tells the work of a flight to drop the calls that it has made and still waits for.
    Withdraw(P),
    /// Runs the task of a flight for as long as it can go on.
    Run(P),
    /// Runs the task of each flight once, in the order in which they opened.
    RunAll,
    /// Drops the runtime of a flight.
    LoseRuntime(P),
    /// Puts the clock forward, in milliseconds.
    Advance(u64),
    /// Starts a drain.
    Drain,
    /// Has the deadline of a drain come.
    Deadline(P),
    PollDrain(P),
    DropDrain(P),
}

/// What an operation can be done to.
pub(crate) struct There {
    /// Calls that the test makes and that are not over.
    pub(crate) calls: Vec<usize>,
    /// Flights whose work is not dropped.
    pub(crate) flights: Vec<usize>,
    /// Drains under way.
    pub(crate) drains: Vec<usize>,
}

impl Pick {
    fn of(self, there: &[usize]) -> Option<usize> {
        let place = self.0.checked_rem(there.len())?;
        Some(there[place])
    }
}

impl Op {
    /// This, done to one of those there are. None if there is none.
    pub(crate) fn of(self, there: &There) -> Option<Op<usize>> {
        let There {
            calls,
            flights,
            drains,
        } = there;
        Some(match self {
            Op::Call(key, takes, temper) => Op::Call(key, takes, temper),
            Op::Make(key, takes, temper) => Op::Make(key, takes, temper),
            Op::Poll(call, bell) => Op::Poll(call.of(calls)?, bell),
            Op::Leave(call) => Op::Leave(call.of(calls)?),
            Op::Forget(key) => Op::Forget(key),
            Op::Land(flight) => Op::Land(flight.of(flights)?),
            Op::Panic(flight) => Op::Panic(flight.of(flights)?),
            Op::Ask(flight, key, takes, temper) => Op::Ask(flight.of(flights)?, key, takes, temper),
            Op::Withdraw(flight) => Op::Withdraw(flight.of(flights)?),
            Op::Run(flight) => Op::Run(flight.of(flights)?),
            Op::RunAll => Op::RunAll,
            Op::LoseRuntime(flight) => Op::LoseRuntime(flight.of(flights)?),
            Op::Advance(millis) => Op::Advance(millis),
            Op::Drain => Op::Drain,
            Op::Deadline(drain) => Op::Deadline(drain.of(drains)?),
            Op::PollDrain(drain) => Op::PollDrain(drain.of(drains)?),
            Op::DropDrain(drain) => Op::DropDrain(drain.of(drains)?),
        })
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// An operation a line, however the script is printed.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "  {:?}", self.policy)?;
        writeln!(f, "  keys hash: {:?}", self.hashing)?;
        writeln!(f, "  told: {:?}", self.telling)?;
        for (step, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {step:>2} {op:?}")?;
        }
        Ok(())
    }
}

/// Any script.
pub(crate) fn script() -> impl Strategy<Value = Script> {
    let hashing = select(vec![Hashing::Apart, Hashing::Colliding]);
    let telling = select(vec![Telling::Observer, Telling::Observer, Telling::Nobody]);
    let parts = (policy(), hashing, telling, ops());
    parts.prop_map(|(policy, hashing, telling, ops)| Script {
        policy,
        hashing,
        telling,
        ops,
    })
}

/// Shrinks to what does not bind.
fn policy() -> impl Strategy<Value = Policy> {
    let flights = prop_oneof![12 => Just(99), 12 => 1..=4_usize, 1 => Just(0)];
    let callers = prop_oneof![12 => Just(99), 12 => 1..=4_usize, 1 => Just(0)];
    let executions = select(vec![None, None, Some(0), Some(2), Some(3)]);
    let window = select(vec![None, None, Some(5), Some(2), Some(0)]);
    let abandoned = select(vec![
        Abandoned::Cancel,
        Abandoned::Cancel,
        Abandoned::Finish,
    ]);
    let sharing = prop_oneof![6 => Just(SharingMode::Share), 1 => Just(SharingMode::Observe)];
    let parts = (flights, callers, executions, window, abandoned, sharing);
    parts.prop_map(
        |(flights, max_callers_per_flight, max_executions_per_key, window, abandoned, sharing)| {
            Policy {
                max_flights: flights,
                max_callers_per_flight,
                max_executions_per_key,
                join_window: window.map(Duration::from_millis),
                abandoned,
                sharing,
            }
        },
    )
}

/// Some of them end with a drain. It comes last because nothing opens after it.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let drain = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec(op_while_draining(), 0..=LONGEST_DRAIN).prop_map(|ops| [vec![Op::Drain], ops].concat()),
    ];
    (vec(op(), 0..=LONGEST), drain).prop_map(|(ops, drain)| [ops, drain].concat())
}

/// The simple ones first, as proptest shrinks to these.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        28 => asked().prop_map(|(key, takes, temper)| Op::Call(key, takes, temper)),
        3 => asked().prop_map(|(key, takes, temper)| Op::Make(key, takes, temper)),
        10 => (pick(), bell()).prop_map(|(call, bell)| Op::Poll(call, bell)),
        8 => pick().prop_map(Op::Leave),
        5 => name().prop_map(Op::Forget),
        8 => pick().prop_map(Op::Land),
        3 => pick().prop_map(Op::Panic),
        12 => (pick(), asked()).prop_map(|(flight, (key, takes, temper))| Op::Ask(flight, key, takes, temper)),
        2 => pick().prop_map(Op::Withdraw),
        10 => pick().prop_map(Op::Run),
        6 => Just(Op::RunAll),
        1 => pick().prop_map(Op::LoseRuntime),
        5 => (1..=4_u64).prop_map(Op::Advance),
    ]
}

fn op_while_draining() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => op(),
        3 => pick().prop_map(Op::PollDrain),
        2 => pick().prop_map(Op::Deadline),
        1 => Just(Op::Drain),
        1 => pick().prop_map(Op::DropDrain),
    ]
}

fn asked() -> impl Strategy<Value = (Name, Takes, Temper)> {
    let takes = prop_oneof![6 => Just(Takes::Open), 1 => Just(Takes::Own)];
    (name(), takes, temper())
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![4 => Just(Name::A), 2 => Just(Name::B), 1 => Just(Name::C)]
}

fn temper() -> impl Strategy<Value = Temper> {
    prop_oneof![10 => Just(Temper::Calm), 1 => Just(Temper::Rash), 1 => Just(Temper::Sore)]
}

fn bell() -> impl Strategy<Value = Bell> {
    select(vec![Bell::One, Bell::Other])
}

fn pick() -> impl Strategy<Value = Pick> {
    (0..6_usize).prop_map(Pick)
}
