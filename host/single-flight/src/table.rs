//! The table: which flight a key has, and every step that must be one step for all callers of a key:
//! open, join, supersede, forget, abandon, cancel, close. It neither polls nor spawns anything, and takes
//! wakers and outcomes as they come.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::apart::Apart;
use crate::flight::{Flight, Outcome};
use crate::gate::Gate;
use crate::name::{Asked, Keyed, Name};
use crate::seat::Seat;
use crate::sync::{DashMap, Entry, KeyHasher};
use crate::waits::{self, Nested};
use crate::{
    Abandoned, EndedFlight, Error, FlightEnd, FlightId, FlightSnapshot, Policy, Role, SharingMode,
};

pub(crate) type Observer<K, V> = Box<dyn Fn(&K, &EndedFlight<'_, V>) + Send + Sync>;
pub(crate) type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The flights of a group.
///
/// Invariant: a flight is open exactly while `open` lists it. Callers join it under its shard's lock
/// (read), and it is taken out under the same lock (write), before it is settled. So whoever finds a
/// flight there joins it, and what `open` lists is never settled.
///
/// Invariant: a flight is in `open` or `apart` from its opening until its work has been dropped, so a
/// drain reaches it and its key's executions are counted. It leaves the one under its shard's lock, and is
/// in the other before that lock or that of `apart` is given back: whoever finds it gone from `open` finds
/// it in `apart`. It never moves back.
///
/// Lock order: the waits, then a shard of `open`, then `apart` or a flight. Under them runs no code of a
/// user but the key's `Eq`, and none of their values is dropped.
pub(crate) struct Table<K, V> {
    pub(crate) policy: Policy,
    pub(crate) gate: Gate,
    open: DashMap<Name<K, V>, ()>,
    apart: Apart<K, V>,
    hasher: KeyHasher,
    /// Where the age of flights is asked for.
    clock: Option<Clock>,
    observer: Option<Observer<K, V>>,
}

/// What flight a caller takes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Takes {
    /// The one that is open, or its own where none is.
    Open,
    /// None but its own.
    Own,
}

/// What came of going aboard: a seat, or a refusal.
type Boarded<K, V> = Result<Seat<K, V>, Error>;

impl<K: Eq, V> Table<K, V> {
    pub(crate) fn new(policy: Policy, clock: Clock, observer: Option<Observer<K, V>>) -> Self {
        let aged = policy.join_window.is_some() || observer.is_some();
        Self {
            policy,
            gate: Gate::new(match policy.sharing {
                SharingMode::Share => policy.flights,
                SharingMode::Observe => usize::MAX,
            }),
            open: DashMap::default(),
            apart: Apart::new(),
            hasher: KeyHasher::default(),
            clock: aged.then_some(clock),
            observer,
        }
    }

    fn now(&self) -> Option<Instant> {
        self.clock.as_ref().map(|clock| clock())
    }

    /// Whether a flight is older than a caller of this moment may join.
    fn is_stale(&self, flight: &Flight<K, V>, now: Option<Instant>) -> bool {
        let (Some(window), Some(age)) = (self.policy.join_window, flight.age(now)) else {
            return false;
        };
        age > window
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Puts a caller on the key's flight, opening one if none is open. The leader must have the flight's
    /// task run.
    pub(crate) fn board(&self, key: K, waker: &Waker) -> Boarded<K, V> {
        // Hashed once, with a random key, so that callers cannot choose keys that collide.
        let hash = self.hasher.hash_one(&key);
        // Read before the flight is looked for: the join window is about what a caller that asks now
        // may get, however long it then waits for a lock.
        let now = self.now();
        // Cloned here because a waker's clone is code of an executor, and joining is done under locks.
        let mut cloned = Some(waker.clone());
        let waiter = waits::current();
        let shared = self.policy.sharing == SharingMode::Share;
        let asked = Asked { key: &key, hash };
        if shared && let Some(joined) = self.join(&asked, now, waiter, &mut cloned) {
            return joined;
        }
        let leader = cloned
            .take()
            .expect("only a caller that joined has given its waker");
        // Made before a lock is taken and, where it comes to nothing, dropped after.
        let mut fresh = Arc::new(Flight::new(key, hash, now, leader));
        if !shared {
            return self.open_alone(fresh, Takes::Open);
        }
        loop {
            fresh = match self.open(fresh, waiter) {
                Ok(opened) => return opened,
                Err(fresh) => fresh,
            };
            // Another caller has opened one since this one found none.
            if let Some(joined) = self.join(&*fresh, now, waiter, &mut Some(waker.clone())) {
                return joined;
            }
        }
    }

    /// Puts a caller on a flight of its own, and closes the one that is open to joiners. The flight's
    /// task must be run.
    pub(crate) fn join_none(&self, key: K, waker: &Waker) -> Boarded<K, V> {
        let hash = self.hasher.hash_one(&key);
        let fresh = Arc::new(Flight::new(key, hash, self.now(), waker.clone()));
        match self.policy.sharing {
            SharingMode::Share => self.open_anew(fresh, waits::current()),
            SharingMode::Observe => self.open_alone(fresh, Takes::Own),
        }
    }

    /// Joins the key's flight, if one is open that is young enough.
    pub(crate) fn join(
        &self,
        asked: &dyn Keyed<K>,
        now: Option<Instant>,
        waiter: Option<FlightId>,
        waker: &mut Option<Waker>,
    ) -> Option<Boarded<K, V>> {
        let nested = waiter.map(Nested::new);
        let listed = self.open.get(asked)?;
        let flight = &listed.key().0;
        if !self.is_stale(flight, now) {
            return Some(self.seat(flight, nested, waker));
        }
        drop(listed);
        self.set_apart(asked, |flight| self.is_stale(flight, now));
        None
    }

    fn seat(
        &self,
        flight: &Arc<Flight<K, V>>,
        mut nested: Option<Nested>,
        waker: &mut Option<Waker>,
    ) -> Boarded<K, V> {
        if let Some(nested) = &nested {
            nested.may_wait_for(flight.id)?;
        }
        let place = flight.join(self.policy.callers_per_flight, waker)?;
        Ok(Seat {
            flight: Arc::clone(flight),
            place,
            role: Role::Follower,
            waiter: nested.as_mut().map(|nested| nested.waits_for(flight.id)),
        })
    }

    /// Opens a flight with its leader on it. Gives the flight back if its key has an open one.
    pub(crate) fn open(
        &self,
        fresh: Arc<Flight<K, V>>,
        waiter: Option<FlightId>,
    ) -> Result<Boarded<K, V>, Arc<Flight<K, V>>> {
        let nested = waiter.map(Nested::new);
        let Entry::Vacant(slot) = self.open.entry(Name(Arc::clone(&fresh))) else {
            return Err(fresh);
        };
        // Admitted under the shard's lock: if that were done before, a caller of the same key could be
        // refused for want of room while the flight it should join is on its way into the table.
        if let Err(refused) = self.admit(|| self.apart.executions(&*fresh)) {
            drop(slot);
            return Ok(Err(refused));
        }
        slot.insert(());
        Ok(Ok(Seat::first(fresh, nested)))
    }

    /// Opens a flight with its leader on it, in the place of the one that is open for its key.
    ///
    /// It is admitted, that one superseded and this one listed under one lock of the shard. If the room
    /// were found first, another caller could take it; if the open flight were closed first, a caller
    /// that is then refused would have closed it for nothing; and if this one were listed later, a drain
    /// at its deadline could miss it, and a caller in between would open a third.
    fn open_anew(&self, fresh: Arc<Flight<K, V>>, waiter: Option<FlightId>) -> Boarded<K, V> {
        let nested = waiter.map(Nested::new);
        match self.open.entry(Name(Arc::clone(&fresh))) {
            Entry::Vacant(slot) => {
                self.admit(|| self.apart.executions(&*fresh))?;
                slot.insert(());
            }
            Entry::Occupied(listed) => self.apart.insert_unlisted(&*fresh, |executions| {
                self.admit(|| executions + 1)?;
                // It gives the shard's lock back. Who misses the old flight in `open` from here on waits
                // for the lock of `apart`, and finds it there.
                let (Name(superseded), ()) = listed.replace_entry(());
                Ok(superseded)
            })?,
        }
        Ok(Seat::first(fresh, nested))
    }

    /// Whether there is room for one more flight of a key that has so many `executions`. Counts it if
    /// there is.
    fn admit(&self, executions: impl FnOnce() -> usize) -> Result<(), Error> {
        match self.over_limit(executions) {
            None => self.gate.enter(),
            // While draining there is none however much room there is.
            Some(_) if self.gate.is_shut() => Err(Error::Draining),
            Some(refused) => Err(refused),
        }
    }

    /// The limit that one more flight of this key would exceed, but for that of all flights.
    fn over_limit(&self, executions: impl FnOnce() -> usize) -> Option<Error> {
        let limit = self.policy.callers_per_flight;
        if limit == 0 {
            return Some(Error::TooManyCallers { limit });
        }
        let limit = self.policy.executions_per_key?.max(2);
        // While the shard is locked these only become fewer.
        (executions() >= limit).then_some(Error::TooManyExecutions { limit })
    }

    /// Opens a flight for this caller alone.
    fn open_alone(&self, fresh: Arc<Flight<K, V>>, takes: Takes) -> Boarded<K, V> {
        // In one step: a drain that has shut the gate finds every flight that it let through.
        self.apart.insert_if(&fresh, takes, || self.gate.enter())?;
        Ok(Seat::first(fresh, None))
    }

    /// Closes the key's flight to joiners. True if there was one.
    pub(crate) fn forget(&self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        self.set_apart(&Asked { key, hash }, |_| true)
    }
}

impl<K: Eq, V> Table<K, V> {
    /// Closes the key's flight to joiners if it is one of `which`. True if there was one and it is.
    fn set_apart(
        &self,
        key: &dyn Keyed<K>,
        mut which: impl FnMut(&Arc<Flight<K, V>>) -> bool,
    ) -> bool {
        let taken = self.open.remove_if(key, |Name(flight), ()| {
            let chosen = which(flight);
            if chosen {
                self.apart.insert(flight);
            }
            chosen
        });
        taken.is_some()
    }

    /// Takes a caller off its flight, which nobody may be on then.
    pub(crate) fn leave(&self, seat: &Seat<K, V>) {
        seat.disembark();
        let deserted = seat.flight.leave(seat.place);
        if deserted && self.policy.abandoned == Abandoned::Cancel {
            self.abandon(&seat.flight);
        }
    }

    /// Cancels a flight that its last caller has left.
    pub(crate) fn abandon(&self, flight: &Arc<Flight<K, V>>) {
        // Closed first: a newcomer joined before that, and keeps the flight, or opens its own.
        let mut rejoined = false;
        self.set_apart(&**flight, |open| {
            let this = Arc::ptr_eq(open, flight);
            rejoined = this && flight.attached() > 0;
            this && !rejoined
        });
        // Asked again where it is closed, whoever did that: it may have been rejoined before.
        if !rejoined && let Some(freed) = flight.cancel_if_deserted() {
            freed.wake_all();
        }
    }

    /// Cancels every flight that is under way, and returns how many. The gate is shut, so none is added
    /// meanwhile.
    pub(crate) fn cancel_all(&self) -> usize {
        let flights = self.under_way();
        let cancelled = flights.values().filter(|flight| self.cancel(flight));
        cancelled.count()
    }

    /// Cancels a flight with callers on it. True if it was under way.
    fn cancel(&self, flight: &Arc<Flight<K, V>>) -> bool {
        self.set_apart(&**flight, |open| Arc::ptr_eq(open, flight));
        match flight.settle(Outcome::Cancelled) {
            Ok(freed) => {
                freed.wake_all();
                true
            }
            Err(_) => false,
        }
    }

    /// Ends a flight whose work is over and dropped. Called by its task, once.
    pub(crate) fn close(&self, flight: &Arc<Flight<K, V>>, outcome: Outcome<V>) {
        // Taken out before it is settled: no call that starts after a flight has landed gets its result.
        // Its permit given back before it is settled: see `Gate`.
        let would_have_joined = self.remove(flight);
        self.gate.leave();
        let rejected = match flight.settle(outcome) {
            Ok(freed) => {
                freed.callers.wake_all();
                None
            }
            Err(outcome) => Some(outcome),
        };
        self.tell_observer(flight, would_have_joined);
        self.gate.finish();
        // Last, because dropping a value may panic: nobody was waiting for this one.
        drop(rejected);
    }

    /// Takes a flight out of the table, and no other flight of its key. Returns the one that it would
    /// have joined, where nothing is shared.
    fn remove(&self, flight: &Arc<Flight<K, V>>) -> Option<FlightId> {
        if self.policy.sharing == SharingMode::Observe {
            return self.apart.remove(flight);
        }
        let key: &dyn Keyed<K> = &**flight;
        let open = self
            .open
            .remove_if(key, |name, ()| Arc::ptr_eq(&name.0, flight));
        if open.is_none() {
            self.apart.remove(flight);
        }
        None
    }

    fn tell_observer(&self, flight: &Flight<K, V>, would_have_joined: Option<FlightId>) {
        let (Some(observer), Some(settled)) = (&self.observer, flight.settled()) else {
            return;
        };
        let tell = || {
            let ended = EndedFlight {
                flight: flight.id,
                end: match &settled.outcome {
                    Outcome::Landed(value) => FlightEnd::Landed(value),
                    Outcome::Panicked(message) => FlightEnd::Panicked(message),
                    Outcome::Cancelled => FlightEnd::Cancelled,
                },
                callers: settled.callers,
                age: flight.age(self.now()).unwrap_or(Duration::ZERO),
                would_have_joined,
            };
            observer(&flight.key, &ended);
        };
        let _ = catch_unwind(AssertUnwindSafe(tell));
    }

    /// Callers on flights that are under way.
    pub(crate) fn callers(&self) -> usize {
        let flights = self.under_way();
        flights.values().map(|flight| flight.attached()).sum()
    }

    /// Keys with a flight that is open to joiners.
    pub(crate) fn entries(&self) -> usize {
        self.open.len()
    }

    /// Shows every flight that is under way, with no lock held.
    pub(crate) fn visit(&self, mut show: impl FnMut(&K, &FlightSnapshot)) {
        let now = self.now();
        for flight in self.under_way().into_values() {
            let listed = self.open.get::<dyn Keyed<K>>(&*flight);
            let open = listed.is_some_and(|listed| Arc::ptr_eq(&listed.key().0, &flight));
            let shown = FlightSnapshot {
                flight: flight.id,
                callers: flight.attached(),
                age: flight.age(now),
                joinable: open && !self.is_stale(&flight, now),
            };
            show(&flight.key, &shown);
        }
    }

    /// The flights whose work has not ended.
    fn under_way(&self) -> BTreeMap<FlightId, Arc<Flight<K, V>>> {
        let open = self.open.iter();
        let mut flights: BTreeMap<_, _> = open
            .map(|listed| (listed.key().0.id, Arc::clone(&listed.key().0)))
            .collect();
        // After `open`, because that is where a flight goes from there: it is found at least once, and
        // counts once by its id.
        let apart = self.apart.flights();
        flights.extend(apart.into_iter().map(|flight| (flight.id, flight)));
        flights
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    //! A call takes several steps, and other callers can come between them. Here they do.

    use super::{Seat, Table};
    use crate::flight::{Flight, Outcome};
    use crate::name::Asked;
    use crate::{Error, Policy, Role, waits};
    use std::hash::BuildHasher;
    use std::sync::{Arc, OnceLock};
    use std::task::{Wake, Waker};
    use std::time::Instant;

    type Steps = Table<&'static str, Arc<str>>;
    type Aboard = Seat<&'static str, Arc<str>>;

    fn table() -> Steps {
        of(Policy::default())
    }

    fn of(policy: Policy) -> Steps {
        Table::new(policy, Box::new(Instant::now), None)
    }

    fn hash(table: &Steps) -> u64 {
        table.hasher.hash_one("k")
    }

    /// The first step of a call.
    fn join(table: &Steps) -> Option<Aboard> {
        let waker = &mut Some(Waker::noop().clone());
        let asked = Asked {
            key: &"k",
            hash: hash(table),
        };
        let joined = table.join(&asked, None, None, waker)?;
        Some(joined.expect("there is room on the flight"))
    }

    /// The second step of a call that found no flight in the first.
    fn open(table: &Steps) -> Option<Result<Aboard, Error>> {
        open_with(table, Waker::noop())
    }

    fn open_with(table: &Steps, waker: &Waker) -> Option<Result<Aboard, Error>> {
        let flight = Flight::new("k", hash(table), None, waker.clone());
        table.open(Arc::new(flight), None).ok()
    }

    fn opened(table: &Steps) -> Aboard {
        let opened = open(table).expect("no flight is open");
        opened.expect("there is room for the flight")
    }

    fn leave(seat: &Aboard) -> bool {
        seat.flight.leave(seat.place)
    }

    // 2
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

    // 19
    #[test]
    fn a_caller_whose_flight_was_opened_meanwhile_needs_no_room_for_one() {
        let table = of(Policy {
            flights: 1,
            ..Policy::default()
        });
        assert!(join(&table).is_none());
        opened(&table);
        assert!(open(&table).is_none());
    }

    // 23
    #[test]
    fn a_caller_that_found_no_flight_before_a_drain_opens_none_after() {
        let table = table();
        assert!(join(&table).is_none());
        table.gate.shut();
        let refused = open(&table).expect("no flight is open");
        assert_eq!(refused.err(), Some(Error::Draining));
        assert_eq!((table.gate.alive(), table.entries()), (0, 0));
    }

    // 16
    #[test]
    fn a_newcomer_between_the_last_leave_and_the_cancel_keeps_the_flight() {
        let table = table();
        let leader = opened(&table);
        assert!(leave(&leader));
        let newcomer = join(&table).expect("the flight is open");
        table.abandon(&leader.flight);
        assert!(newcomer.flight.settled().is_none());
        assert_eq!((table.callers(), table.entries()), (1, 1));
    }

    // 15, 16
    #[test]
    fn a_newcomer_that_leaves_again_cancels_the_flight_once() {
        let table = table();
        let leader = opened(&table);
        assert!(leave(&leader));
        let newcomer = join(&table).expect("the flight is open");
        assert!(leave(&newcomer));
        table.abandon(&newcomer.flight);
        assert!(leader.flight.settled().is_some());
        let successor = opened(&table);
        table.abandon(&leader.flight);
        assert!(successor.flight.settled().is_none());
        assert_eq!((table.callers(), table.entries()), (1, 1));
    }

    // 5, 16
    #[test]
    fn a_newcomer_to_a_flight_that_is_then_forgotten_keeps_it() {
        let table = table();
        let leader = opened(&table);
        assert!(leave(&leader));
        let newcomer = join(&table).expect("the flight is open");
        assert!(table.forget(&"k"));
        table.abandon(&leader.flight);
        assert!(newcomer.flight.settled().is_none());
        assert_eq!((table.callers(), table.entries()), (1, 0));
    }

    /// Looks for an open flight when it is woken, and keeps whether there was one.
    struct Looks(Arc<Steps>, OnceLock<bool>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let found = join(&self.0).is_some();
            self.1.set(found).expect("a caller is woken once");
        }
    }

    #[test]
    fn whoever_is_woken_by_a_landing_finds_the_key_free() {
        let table = Arc::new(table());
        let looks = Arc::new(Looks(Arc::clone(&table), OnceLock::new()));
        let waker = Waker::from(Arc::clone(&looks));
        let leader = open_with(&table, &waker).unwrap().ok().unwrap();
        table.close(&leader.flight, Outcome::Landed(Arc::from("v")));
        assert_eq!(looks.1.get(), Some(&false));
    }

    // 8
    #[test]
    fn a_flight_that_is_landed_and_cancelled_at_once_ends_in_one_way() {
        let table = table();
        let value: Arc<str> = Arc::from("v");
        // Cancelled while its value is on the way: the value is dropped.
        let leader = opened(&table);
        assert!(leave(&leader));
        table.abandon(&leader.flight);
        table.close(&leader.flight, Outcome::Landed(Arc::clone(&value)));
        let cancelled = cancelled(&leader);
        assert_eq!(settled(leader), Err(cancelled));
        assert_eq!(Arc::strong_count(&value), 1);
        // Landed while its last caller leaves: it stays landed.
        let leader = opened(&table);
        table.close(&leader.flight, Outcome::Landed(value));
        assert!(!leave(&leader));
        table.abandon(&leader.flight);
        assert_eq!(settled(leader), Ok(1));
        assert_eq!((table.gate.alive(), table.entries()), (0, 0));
    }

    // 9, 23
    #[test]
    fn a_drain_that_cancels_a_landed_flight_does_not_count_it() {
        let table = table();
        let leader = opened(&table);
        table.forget(&"k");
        table.close(&leader.flight, Outcome::Landed(Arc::from("v")));
        table.gate.shut();
        assert_eq!(table.cancel_all(), 0);
        assert_eq!(settled(leader), Ok(1));
    }

    fn cancelled(seat: &Aboard) -> Error {
        let flight = seat.flight.id;
        Error::Cancelled { flight }
    }

    // 18: a wait ends with the call, however that ends.
    #[test]
    fn a_wait_is_noted_until_its_call_has_an_outcome_or_leaves() {
        let table = table();
        let outer = opened(&table).flight.id;
        let nested = |key| waits::within(outer, || table.board(key, Waker::noop()).ok().unwrap());
        let (answered, left) = (nested("answered"), nested("left"));
        assert_eq!(waits::noted(outer), 2);
        table.leave(&left);
        assert_eq!(waits::noted(outer), 1);
        let value = Arc::from("v");
        table.close(&answered.flight, Outcome::Landed(value));
        assert!(answered.outcome().is_ok());
        assert_eq!(waits::noted(outer), 0);
    }

    /// How the flight of a seat ended: the number of its callers, or the error.
    fn settled(seat: Aboard) -> Result<usize, Error> {
        seat.outcome().map(|answer| answer.callers)
    }
}
