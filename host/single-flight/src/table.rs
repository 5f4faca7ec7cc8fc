//! The table: which flight a key has, and every step that must be one step for all callers of a key:
//! open, join, forget, abandon, cancel, close. It neither polls nor spawns anything, and takes wakers and
//! outcomes as they come.
//!
//! The map is used by shard, because the table needs what its usual interface hides: a lookup by a hash
//! that was computed before, and a removal that asks for one certain flight and not for a key.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use dashmap::{DashMap, SharedValue};

use crate::flight::{Flight, Outcome, Settled};
use crate::gate::Gate;
use crate::{Answer, End, Ended, Error, FlightId, Limits, Role};

pub(crate) type Observer<K, V> = Box<dyn Fn(&K, &Ended<'_, V>) + Send + Sync>;

/// The flights of a group.
///
/// Invariant: a flight is in `open` exactly while callers may join it. They do so under its shard's lock
/// (read), and it is unlisted under the same lock (write), before it is settled. So whoever finds a
/// flight there joins it, and what `open` lists is never settled.
///
/// Invariant: a flight whose work has not ended is in `open`, in `superseded` or settled, so a drain
/// reaches it.
///
/// Lock order: a shard of `open`, then `superseded` or a flight. Under them runs no code of a user but
/// the key's `Eq`, and none of their values is dropped.
pub(crate) struct Table<K, V> {
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    /// A key's hash and its flight. The key itself lives in the flight.
    open: DashMap<u64, Arc<Flight<K, V>>>,
    /// Flights that were forgotten and are still under way. Written in `forget`, and when they end.
    superseded: Mutex<HashMap<FlightId, Arc<Flight<K, V>>>>,
    observer: Option<Observer<K, V>>,
}

/// A caller's place on a flight. Whoever holds it must [leave](Flight::leave), or see the flight settled.
pub(crate) struct Seat<K, V> {
    pub(crate) flight: Arc<Flight<K, V>>,
    pub(crate) place: usize,
    pub(crate) role: Role,
}

impl<K, V: Clone> Seat<K, V> {
    /// What this caller gets from a flight that came to this. Clones the value.
    pub(crate) fn outcome(&self, settled: &Settled<V>) -> Result<Answer<V>, Error> {
        match &settled.outcome {
            Outcome::Landed(value) => Ok(Answer {
                value: value.clone(),
                flight: self.flight.id,
                role: self.role,
                callers: settled.callers,
            }),
            Outcome::Panicked(message) => Err(Error::Panicked {
                message: Arc::clone(message),
            }),
            Outcome::Cancelled => Err(Error::Cancelled),
        }
    }
}

impl<K, V> Table<K, V> {
    pub(crate) fn new(limits: Limits, observer: Option<Observer<K, V>>) -> Self {
        Self {
            limits,
            gate: Gate::new(),
            open: DashMap::new(),
            superseded: Mutex::default(),
            observer,
        }
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// The hash under which the table lists a key. Keyed, so that callers cannot choose keys that
    /// collide, and computed once for a call.
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.open.hasher().hash_one(key)
    }

    /// Joins the key's flight, if one is open.
    pub(crate) fn join(
        &self,
        key: &K,
        hash: u64,
        waker: &mut Option<Waker>,
    ) -> Option<Result<Seat<K, V>, Error>> {
        let shard = self.open.shards()[self.shard_of(hash)].read();
        let (_, flight) = shard.get(hash, is_of(key, hash))?;
        Some(self.seat(flight.get(), Role::Follower, waker))
    }

    /// Opens a flight for the key, or joins the one that another caller has opened since this one found
    /// none. The leader must have the flight's task run.
    pub(crate) fn open(
        &self,
        key: K,
        hash: u64,
        waker: &mut Option<Waker>,
    ) -> Result<Seat<K, V>, Error> {
        // Made before the lock is taken and, where it comes to nothing, dropped after.
        let fresh = Arc::new(Flight::new(key, hash));
        let mut shard = self.open.shards()[self.shard_of(hash)].write();
        if let Some((_, flight)) = shard.get(hash, is_of(&fresh.key, hash)) {
            return self.seat(flight.get(), Role::Follower, waker);
        }
        let seat = self.seat(&fresh, Role::Leader, waker)?;
        // Counted under the shard's lock: if it were counted before, a caller of the same key could be
        // refused for want of room while the flight it should join is on its way into the table.
        self.gate.enter(self.limits.flights)?;
        let listed = (hash, SharedValue::new(Arc::clone(&fresh)));
        shard.insert(hash, listed, |&(hash, _)| hash);
        Ok(seat)
    }

    /// Closes the key's flight to joiners. True if there was one.
    pub(crate) fn forget(&self, key: &K) -> bool {
        let hash = self.hash(key);
        let mut shard = self.open.shards()[self.shard_of(hash)].write();
        let Some((_, flight)) = shard.remove_entry(hash, is_of(key, hash)) else {
            return false;
        };
        let flight = flight.into_inner();
        // Still under the shard's lock: were the flight for an instant in neither place, it could end
        // there and would then stay in `superseded` for good.
        self.superseded().insert(flight.id, flight);
        true
    }
}

impl<K, V> Table<K, V> {
    /// Cancels a flight that its last caller has left.
    pub(crate) fn abandon(&self, flight: &Arc<Flight<K, V>>) {
        // Unlisted first: a newcomer joined before that, and keeps the flight, or opens its own.
        if !self.unlist_if_deserted(flight) {
            return;
        }
        // Asked again: the flight may have been rejoined and then forgotten before it was looked for.
        if let Some(freed) = flight.cancel_if_deserted() {
            freed.wake_all();
        }
    }

    /// Unlists a flight if nobody is on it. True if it is not listed now, whoever unlisted it.
    fn unlist_if_deserted(&self, flight: &Arc<Flight<K, V>>) -> bool {
        let mut shard = self.open.shards()[self.shard_of(flight.hash)].write();
        if shard.get(flight.hash, is_same(flight)).is_none() {
            return true;
        }
        if flight.attached() > 0 {
            return false;
        }
        let listed = shard.remove_entry(flight.hash, is_same(flight));
        drop(shard);
        drop(listed);
        true
    }

    /// Unlists a flight, and no other flight of its key, wherever it is listed.
    fn unlist(&self, flight: &Arc<Flight<K, V>>) {
        let shard = &self.open.shards()[self.shard_of(flight.hash)];
        let listed = shard.write().remove_entry(flight.hash, is_same(flight));
        if listed.is_none() {
            let superseded = self.superseded().remove(&flight.id);
            drop(superseded);
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
        self.unlist(flight);
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
        // Unlisted before settled: no call that starts after a flight has landed gets its result. Off
        // the limit before settled: see `Gate`.
        self.unlist(flight);
        self.gate.leave();
        let rejected = match flight.settle(outcome) {
            Ok(freed) => {
                freed.callers.wake_all();
                None
            }
            Err(outcome) => Some(outcome),
        };
        self.tell_observer(flight);
        self.gate.finish();
        // Last, because dropping a value may panic: nobody was waiting for this one.
        drop(rejected);
    }

    fn tell_observer(&self, flight: &Flight<K, V>) {
        let (Some(observer), Some(settled)) = (&self.observer, flight.settled()) else {
            return;
        };
        let ended = Ended {
            flight: flight.id,
            end: match &settled.outcome {
                Outcome::Landed(value) => End::Landed(value),
                Outcome::Panicked(message) => End::Panicked(message),
                Outcome::Cancelled => End::Cancelled,
            },
            callers: settled.callers,
            age: flight.opened.elapsed(),
        };
        let _ = catch_unwind(AssertUnwindSafe(|| observer(&flight.key, &ended)));
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

    fn seat(
        &self,
        flight: &Arc<Flight<K, V>>,
        role: Role,
        waker: &mut Option<Waker>,
    ) -> Result<Seat<K, V>, Error> {
        let place = flight.join(self.limits.callers_per_flight, waker)?;
        let flight = Arc::clone(flight);
        Ok(Seat {
            flight,
            place,
            role,
        })
    }

    /// The flights whose work has not ended.
    fn under_way(&self) -> HashMap<FlightId, Arc<Flight<K, V>>> {
        let by_id = |flight: &Arc<Flight<K, V>>| (flight.id, Arc::clone(flight));
        let mut flights: HashMap<_, _> = self.open.iter().map(|listed| by_id(&listed)).collect();
        // After `open`, because a flight that is forgotten meanwhile moves from there to here: it is
        // found at least once, and counts once by its id.
        flights.extend(self.superseded().values().map(by_id));
        flights
    }

    fn superseded(&self) -> MutexGuard<'_, HashMap<FlightId, Arc<Flight<K, V>>>> {
        // Nothing under this lock panics, so what a poisoned one guards is whole.
        self.superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, hash: u64) -> usize {
        self.open.determine_shard(hash as usize)
    }
}

type Listed<K, V> = (u64, SharedValue<Arc<Flight<K, V>>>);

/// Matches the flight of a key: by the whole key, and by the hash first because that is cheap.
fn is_of<K: Eq, V>(key: &K, hash: u64) -> impl Fn(&Listed<K, V>) -> bool {
    move |(listed, flight)| *listed == hash && flight.get().key == *key
}

/// Matches one flight, by identity: never another flight of the same key.
fn is_same<K, V>(flight: &Arc<Flight<K, V>>) -> impl Fn(&Listed<K, V>) -> bool {
    move |(_, listed)| Arc::ptr_eq(listed.get(), flight)
}

#[cfg(test)]
mod tests {
    //! A call takes several steps, and other callers can come between them. Here they do.

    use super::{Seat, Table};
    use crate::flight::Outcome;
    use crate::{Error, Limits, Role};
    use std::sync::{Arc, OnceLock};
    use std::task::{Wake, Waker};

    type Steps = Table<&'static str, Arc<str>>;
    type Boarded = Seat<&'static str, Arc<str>>;

    fn table() -> Steps {
        Table::new(Limits::default(), None)
    }

    /// The first step of a call.
    fn join(table: &Steps) -> Option<Boarded> {
        let waker = &mut Some(Waker::noop().clone());
        let joined = table.join(&"k", table.hash(&"k"), waker)?;
        Some(joined.expect("there is room on the flight"))
    }

    /// The second step of a call that found no flight in the first.
    fn open(table: &Steps) -> Boarded {
        let waker = &mut Some(Waker::noop().clone());
        let opened = table.open("k", table.hash(&"k"), waker);
        opened.expect("there is room for the flight")
    }

    fn leave(seat: &Boarded) -> bool {
        seat.flight.leave(seat.place)
    }

    // 2
    #[test]
    fn of_two_callers_that_found_no_flight_one_becomes_the_leader() {
        let table = table();
        assert!(join(&table).is_none());
        assert!(join(&table).is_none());
        let (one, other) = (open(&table), open(&table));
        assert_eq!((one.role, other.role), (Role::Leader, Role::Follower));
        assert!(Arc::ptr_eq(&one.flight, &other.flight));
        assert_eq!((table.gate.alive(), table.callers()), (1, 2));
    }

    // 19
    #[test]
    fn a_caller_whose_flight_was_opened_meanwhile_needs_no_room_for_one() {
        let limits = Limits {
            flights: 1,
            ..Limits::default()
        };
        let table = Table::new(limits, None);
        assert!(join(&table).is_none());
        open(&table);
        assert_eq!(open(&table).role, Role::Follower);
    }

    // 23
    #[test]
    fn a_caller_that_found_no_flight_before_a_drain_opens_none_after() {
        let table = table();
        assert!(join(&table).is_none());
        table.gate.shut();
        let refused = table.open("k", table.hash(&"k"), &mut Some(Waker::noop().clone()));
        assert_eq!(refused.err(), Some(Error::Draining));
        assert_eq!((table.gate.alive(), table.entries()), (0, 0));
    }

    // 16
    #[test]
    fn a_newcomer_between_the_last_leave_and_the_cancel_keeps_the_flight() {
        let table = table();
        let leader = open(&table);
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
        let leader = open(&table);
        assert!(leave(&leader));
        let newcomer = join(&table).expect("the flight is open");
        assert!(leave(&newcomer));
        table.abandon(&newcomer.flight);
        assert!(leader.flight.settled().is_some());
        let successor = open(&table);
        table.abandon(&leader.flight);
        assert!(successor.flight.settled().is_none());
        assert_eq!((table.callers(), table.entries()), (1, 1));
    }

    // 5, 16
    #[test]
    fn a_newcomer_to_a_flight_that_is_then_forgotten_keeps_it() {
        let table = table();
        let leader = open(&table);
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
        let waker = &mut Some(Waker::from(Arc::clone(&looks)));
        let leader = table.open("k", table.hash(&"k"), waker).ok().unwrap();
        table.close(&leader.flight, Outcome::Landed(Arc::from("v")));
        assert_eq!(looks.1.get(), Some(&false));
    }

    // 8
    #[test]
    fn a_flight_that_is_landed_and_cancelled_at_once_ends_in_one_way() {
        let table = table();
        let value: Arc<str> = Arc::from("v");
        // Cancelled while its value is on the way: the value is dropped.
        let leader = open(&table);
        assert!(leave(&leader));
        table.abandon(&leader.flight);
        table.close(&leader.flight, Outcome::Landed(Arc::clone(&value)));
        assert_eq!(settled(&leader), Err(Error::Cancelled));
        assert_eq!(Arc::strong_count(&value), 1);
        // Landed while its last caller leaves: it stays landed.
        let leader = open(&table);
        table.close(&leader.flight, Outcome::Landed(value));
        assert!(!leave(&leader));
        table.abandon(&leader.flight);
        assert_eq!(settled(&leader), Ok(1));
        assert_eq!((table.gate.alive(), table.entries()), (0, 0));
    }

    // 9, 23
    #[test]
    fn a_drain_that_cancels_a_landed_flight_does_not_count_it() {
        let table = table();
        let leader = open(&table);
        table.forget(&"k");
        table.close(&leader.flight, Outcome::Landed(Arc::from("v")));
        table.gate.shut();
        assert_eq!(table.cancel_all(), 0);
        assert_eq!(settled(&leader), Ok(1));
    }

    /// How the flight of a seat ended: the number of its callers, or the error.
    fn settled(seat: &Boarded) -> Result<usize, Error> {
        let settled = seat.flight.settled().expect("the flight is settled");
        seat.outcome(settled).map(|answer| answer.callers)
    }
}
