//! Scripts, as proptest generates and shrinks them: a policy and a list of operations. Nothing here knows
//! their effects.

use std::fmt;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use single_flight::{Abandoned, Policy, SharingMode};

/// The maximum number of operations before a drain: enough for a few flights of one key, one after the other.
const LONGEST: usize = if cfg!(miri) { 12 } else { 48 };
/// The maximum number of operations after a drain has started.
const LONGEST_DRAIN: usize = if cfg!(miri) { 4 } else { 12 };

/// A table, and the operations on it.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) policy: Policy,
    pub(crate) hashing: Hashing,
    pub(crate) observing: Observing,
    pub(crate) ops: Vec<Op>,
}

/// How keys hash.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hashing {
    Distinct,
    /// All keys have the same hash.
    Colliding,
}

/// Whether the table has an observer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Observing {
    On,
    Off,
}

/// A key without its way of hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeyName {
    A,
    B,
    C,
}

/// Whether a call may join an open flight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// `Group::call`.
    Join,
    /// `Group::call_fresh`.
    Fresh,
}

/// A panic of the work that needs no command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Panics when it is called.
    PanicOnCall,
    /// Panics when its future is dropped, unless it has panicked before.
    PanicOnDrop,
}

/// One of the two wakers of each caller.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhichWaker {
    First,
    Second,
}

/// One of the available items, counted from the oldest, modulo their number.
#[derive(Clone, Copy)]
pub(crate) struct Pick(usize);

/// An operation. `P` selects a call, flight or drain: a [`Pick`], or its number once that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op<P = Pick> {
    /// Makes a call and polls it.
    Call(KeyName, Mode, Fault),
    /// Makes a call.
    Make(KeyName, Mode, Fault),
    /// Polls a call that has not completed, possibly for the first time.
    Poll(P, WhichWaker),
    /// Drops a call that has not completed.
    Leave(P),
    Forget(KeyName),
    /// Commands the work of a flight to return.
    Land(P),
    /// Commands the work of a flight to panic.
    Panic(P),
    /// Commands the work of a flight to make a nested call and wait for it.
    Nest(P, KeyName, Mode, Fault),
    /// Commands the work of a flight to drop its nested calls.
    Withdraw(P),
    /// Runs the task of a flight until it waits.
    Run(P),
    /// Runs the task of each flight once, in the order in which they opened.
    RunAll,
    /// Drops the runtime of a flight.
    LoseRuntime(P),
    /// Advances the clock, in milliseconds.
    Advance(u64),
    /// Starts a drain.
    Drain,
    /// Reaches the deadline of a drain.
    Deadline(P),
    PollDrain(P),
    DropDrain(P),
}

/// The items that an operation can be applied to.
pub(crate) struct Available {
    /// Calls of the test that have not completed.
    pub(crate) calls: Vec<usize>,
    /// Flights whose work is not dropped.
    pub(crate) flights: Vec<usize>,
    /// Drains that have not ended.
    pub(crate) drains: Vec<usize>,
}

impl Pick {
    fn of(self, available: &[usize]) -> Option<usize> {
        let place = self.0.checked_rem(available.len())?;
        Some(available[place])
    }
}

impl Op {
    /// This operation with its picks resolved. `None` if there is nothing to pick from.
    pub(crate) fn of(self, available: &Available) -> Option<Op<usize>> {
        let Available {
            calls,
            flights,
            drains,
        } = available;
        Some(match self {
            Op::Call(key, mode, fault) => Op::Call(key, mode, fault),
            Op::Make(key, mode, fault) => Op::Make(key, mode, fault),
            Op::Poll(call, waker) => Op::Poll(call.of(calls)?, waker),
            Op::Leave(call) => Op::Leave(call.of(calls)?),
            Op::Forget(key) => Op::Forget(key),
            Op::Land(flight) => Op::Land(flight.of(flights)?),
            Op::Panic(flight) => Op::Panic(flight.of(flights)?),
            Op::Nest(flight, key, mode, fault) => Op::Nest(flight.of(flights)?, key, mode, fault),
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

/// One operation per line.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "  {:?}", self.policy)?;
        writeln!(f, "  keys hash: {:?}", self.hashing)?;
        writeln!(f, "  observer: {:?}", self.observing)?;
        for (step, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {step:>2} {op:?}")?;
        }
        Ok(())
    }
}

/// Any script.
pub(crate) fn script() -> impl Strategy<Value = Script> {
    let hashing = select(vec![Hashing::Distinct, Hashing::Colliding]);
    let observing = select(vec![Observing::On, Observing::On, Observing::Off]);
    let parts = (policy(), hashing, observing, ops());
    parts.prop_map(|(policy, hashing, observing, ops)| Script {
        policy,
        hashing,
        observing,
        ops,
    })
}

/// Shrinks to limits that are not reached.
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

/// Some scripts end with a drain. It comes last because no flight opens after it.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let drain = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec(op_while_draining(), 0..=LONGEST_DRAIN).prop_map(|ops| [vec![Op::Drain], ops].concat()),
    ];
    (vec(op(), 0..=LONGEST), drain).prop_map(|(ops, drain)| [ops, drain].concat())
}

/// The simple ones first, because proptest shrinks to those.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        28 => call().prop_map(|(key, mode, fault)| Op::Call(key, mode, fault)),
        3 => call().prop_map(|(key, mode, fault)| Op::Make(key, mode, fault)),
        10 => (pick(), waker()).prop_map(|(call, waker)| Op::Poll(call, waker)),
        8 => pick().prop_map(Op::Leave),
        5 => name().prop_map(Op::Forget),
        8 => pick().prop_map(Op::Land),
        3 => pick().prop_map(Op::Panic),
        12 => (pick(), call()).prop_map(|(flight, (key, mode, fault))| Op::Nest(flight, key, mode, fault)),
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

fn call() -> impl Strategy<Value = (KeyName, Mode, Fault)> {
    let mode = prop_oneof![6 => Just(Mode::Join), 1 => Just(Mode::Fresh)];
    (name(), mode, fault())
}

fn name() -> impl Strategy<Value = KeyName> {
    prop_oneof![4 => Just(KeyName::A), 2 => Just(KeyName::B), 1 => Just(KeyName::C)]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![10 => Just(Fault::None), 1 => Just(Fault::PanicOnCall), 1 => Just(Fault::PanicOnDrop)]
}

fn waker() -> impl Strategy<Value = WhichWaker> {
    select(vec![WhichWaker::First, WhichWaker::Second])
}

fn pick() -> impl Strategy<Value = Pick> {
    (0..6_usize).prop_map(Pick)
}
