//! The interleavings of callers between the steps of a call.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::entry::Lookup;
use crate::flight::{Flight, TerminalState};
use crate::membership::Membership;
use crate::outcome::{Error, Role};
use crate::policy::Policy;
use crate::table::Table;
use crate::wait_graph;

type TestTable = Table<&'static str, Arc<str>>;
type TestMember = Membership<&'static str, Arc<str>>;

fn table() -> TestTable {
    table_with(Policy::default())
}

fn table_with(policy: Policy) -> TestTable {
    Table::new(policy, Box::new(Instant::now), None)
}

fn hash(table: &TestTable) -> u64 {
    table.hasher.hash_one("k")
}

/// The first step of a call.
fn join(table: &TestTable) -> Option<TestMember> {
    let waker = &mut Some(Waker::noop().clone());
    let lookup = Lookup {
        key: &"k",
        hash: hash(table),
    };
    let joined = table.join(&lookup, None, None, waker)?;
    Some(joined.expect("the flight is below its limit"))
}

/// The second step of a call that found no flight in the first.
fn open(table: &TestTable) -> Option<Result<TestMember, Error>> {
    open_with(table, Waker::noop())
}

fn open_with(table: &TestTable, waker: &Waker) -> Option<Result<TestMember, Error>> {
    let flight = Flight::new("k", hash(table), None, waker.clone());
    table.open(Arc::new(flight), None).ok()
}

fn opened(table: &TestTable) -> TestMember {
    let opened = open(table).expect("no flight is open");
    opened.expect("the table is below its limit")
}

fn leave(member: &TestMember) -> bool {
    member.flight.leave(member.slot)
}

fn landed(value: &str) -> TerminalState<Arc<str>> {
    TerminalState::Landed(Arc::from(value))
}

// contract 2
#[test]
fn of_two_callers_that_found_no_flight_one_becomes_the_leader() {
    let table = table();
    assert!(join(&table).is_none());
    assert!(join(&table).is_none());
    let one = opened(&table);
    assert!(open(&table).is_none());
    let other = join(&table).expect("the flight is open");
    assert_eq!((one.role, other.role), (Role::Leader, Role::Follower));
    assert!(Arc::ptr_eq(&one.flight, &other.flight));
    assert_eq!((table.gate.alive(), table.callers()), (1, 2));
}

// contract 19
#[test]
fn a_caller_that_lost_the_race_to_open_needs_no_permit() {
    let table = table_with(Policy {
        max_flights: 1,
        ..Policy::default()
    });
    assert!(join(&table).is_none());
    opened(&table);
    assert!(open(&table).is_none());
}

// contract 23
#[test]
fn a_caller_that_found_no_flight_before_a_drain_opens_none_after() {
    let table = table();
    assert!(join(&table).is_none());
    table.gate.close();
    let refused = open(&table).expect("no flight is open");
    assert_eq!(refused.err(), Some(Error::Draining));
    assert_eq!((table.gate.alive(), table.entries()), (0, 0));
}

// contract 16
#[test]
fn a_newcomer_between_the_last_leave_and_the_cancel_keeps_the_flight() {
    let table = table();
    let leader = opened(&table);
    assert!(leave(&leader));
    let newcomer = join(&table).expect("the flight is open");
    table.cancel_abandoned(&leader.flight);
    assert!(newcomer.flight.settled().is_none());
    assert_eq!((table.callers(), table.entries()), (1, 1));
}

// contract 15, 16
#[test]
fn a_newcomer_that_leaves_again_cancels_the_flight_once() {
    let table = table();
    let leader = opened(&table);
    assert!(leave(&leader));
    let newcomer = join(&table).expect("the flight is open");
    assert!(leave(&newcomer));
    table.cancel_abandoned(&newcomer.flight);
    assert!(leader.flight.settled().is_some());
    let successor = opened(&table);
    table.cancel_abandoned(&leader.flight);
    assert!(successor.flight.settled().is_none());
    assert_eq!((table.callers(), table.entries()), (1, 1));
}

// contract 5, 16
#[test]
fn a_newcomer_to_a_flight_that_is_then_forgotten_keeps_it() {
    let table = table();
    let leader = opened(&table);
    assert!(leave(&leader));
    let newcomer = join(&table).expect("the flight is open");
    assert!(table.forget(&"k"));
    table.cancel_abandoned(&leader.flight);
    assert!(newcomer.flight.settled().is_none());
    assert_eq!((table.callers(), table.entries()), (1, 0));
}

/// Looks up the open flight when it is woken, and records whether there was one.
struct LookupOnWake(Arc<TestTable>, OnceLock<bool>);

impl Wake for LookupOnWake {
    fn wake(self: Arc<Self>) {
        let found = join(&self.0).is_some();
        self.1.set(found).expect("a caller is woken once");
    }
}

// contract 10, 11
#[test]
fn a_caller_that_is_woken_by_a_landing_finds_the_key_free() {
    let table = Arc::new(table());
    let lookup = Arc::new(LookupOnWake(Arc::clone(&table), OnceLock::new()));
    let waker = Waker::from(Arc::clone(&lookup));
    let leader = open_with(&table, &waker).unwrap().ok().unwrap();
    table.close(&leader.flight, landed("v"));
    assert_eq!(lookup.1.get(), Some(&false));
}

// contract 8
#[test]
fn a_flight_that_lands_and_is_cancelled_at_once_ends_in_one_way() {
    let table = table();
    let value: Arc<str> = Arc::from("v");
    // Cancelled after the work has returned its value: the value is dropped.
    let leader = opened(&table);
    assert!(leave(&leader));
    table.cancel_abandoned(&leader.flight);
    table.close(&leader.flight, TerminalState::Landed(Arc::clone(&value)));
    let cancelled = cancelled(&leader);
    assert_eq!(outcome(leader), Err(cancelled));
    assert_eq!(Arc::strong_count(&value), 1);
    // Landed while its last caller leaves: it stays landed.
    let leader = opened(&table);
    table.close(&leader.flight, TerminalState::Landed(value));
    assert!(!leave(&leader));
    table.cancel_abandoned(&leader.flight);
    assert_eq!(outcome(leader), Ok(1));
    assert_eq!((table.gate.alive(), table.entries()), (0, 0));
}

// contract 9, 23
#[test]
fn a_drain_that_cancels_a_landed_flight_does_not_count_it() {
    let table = table();
    let leader = opened(&table);
    table.forget(&"k");
    table.close(&leader.flight, landed("v"));
    table.gate.close();
    assert_eq!(table.cancel_all(), 0);
    assert_eq!(outcome(leader), Ok(1));
}

fn cancelled(member: &TestMember) -> Error {
    let flight = member.flight.id;
    Error::Cancelled { flight }
}

// contract 18: a wait is removed with its call, however that ends.
#[test]
fn a_wait_is_recorded_until_its_call_has_an_outcome_or_leaves() {
    let table = table();
    let outer = opened(&table).flight.id;
    let nested = |key| {
        let joined = || table.join_or_open(key, Waker::noop());
        wait_graph::within(outer, joined).ok().unwrap()
    };
    let (answered, left) = (nested("answered"), nested("left"));
    assert_eq!(wait_graph::recorded(outer), 2);
    table.leave(&left);
    assert_eq!(wait_graph::recorded(outer), 1);
    table.close(&answered.flight, landed("v"));
    assert!(answered.into_outcome().is_ok());
    assert_eq!(wait_graph::recorded(outer), 0);
}

/// The outcome of a member: the number of callers of its flight, or the error.
fn outcome(member: TestMember) -> Result<usize, Error> {
    member.into_outcome().map(|output| output.callers)
}
