//! The table: which flight a key has, and every operation that must be atomic for the callers of a key:
//! open, join, supersede, forget, abandon, cancel, close. It neither polls nor spawns anything.

mod inspect;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::detached::{CallMode, Detached};
use crate::entry::{HashedKey, Lookup, TableEntry};
use crate::flight::{Flight, TerminalState};
use crate::gate::Gate;
use crate::id::FlightId;
use crate::membership::Membership;
use crate::observer::{self, Observer};
use crate::outcome::{Error, Role};
use crate::policy::{Abandoned, Policy, SharingMode};
use crate::sync::{DashMap, Entry, KeyHasher};
use crate::wait_graph::{self, NestedCall};

pub(crate) type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The flights of a group.
///
/// Invariant: a flight is open exactly while `open` lists it. Callers join it under its shard's lock
/// (read), and it is removed under the same lock (write), before it is settled. So a caller that finds a
/// flight in `open` can join it, and a flight in `open` is never settled.
///
/// Invariant: a flight is in `open` or `detached` from its opening until its work has been dropped, so a
/// drain reaches it and the executions of its key are counted. It leaves `open` under its shard's lock,
/// and is in `detached` before that lock or the lock of `detached` is released: a thread that no longer
/// finds it in `open` finds it in `detached`. It never moves back.
///
/// Lock order: the wait graph, then a shard of `open`, then `detached` or a flight. No user code runs under
/// them except the key's `Eq`, and no user value is dropped.
pub(crate) struct Table<K, V> {
    pub(crate) policy: Policy,
    pub(crate) gate: Gate,
    open: DashMap<TableEntry<K, V>, ()>,
    detached: Detached<K, V>,
    hasher: KeyHasher,
    /// `None` if neither the policy nor an observer needs the age of flights.
    clock: Option<Clock>,
    observer: Option<Observer<K, V>>,
}

/// The result of joining or opening a flight: the caller's membership, or a refusal.
type JoinResult<K, V> = Result<Membership<K, V>, Error>;

impl<K: Eq, V> Table<K, V> {
    pub(crate) fn new(policy: Policy, clock: Clock, observer: Option<Observer<K, V>>) -> Self {
        let needs_clock = policy.join_window.is_some() || observer.is_some();
        Self {
            policy,
            gate: Gate::new(match policy.sharing {
                SharingMode::Share => policy.max_flights,
                SharingMode::Observe => usize::MAX,
            }),
            open: DashMap::default(),
            detached: Detached::new(),
            hasher: KeyHasher::default(),
            clock: needs_clock.then_some(clock),
            observer,
        }
    }

    fn now(&self) -> Option<Instant> {
        self.clock.as_ref().map(|clock| clock())
    }

    /// Whether a flight is too old to be joined at `now`.
    fn is_stale(&self, flight: &Flight<K, V>, now: Option<Instant>) -> bool {
        let (Some(window), Some(age)) = (self.policy.join_window, flight.age(now)) else {
            return false;
        };
        age > window
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Joins the key's open flight, or opens one. A leader must start the flight's task.
    pub(crate) fn join_or_open(&self, key: K, waker: &Waker) -> JoinResult<K, V> {
        // Hashed once, with a random seed, so that callers cannot choose keys that collide.
        let hash = self.hasher.hash_one(&key);
        // Read before the lookup: the join window bounds the age at the time of the call, however long the
        // call then waits for a lock.
        let now = self.now();
        // Cloned here, because `clone` runs code of the executor and joining happens under locks.
        let mut cloned = Some(waker.clone());
        let waiter = wait_graph::current_flight();
        let shared = self.policy.sharing == SharingMode::Share;
        let lookup = Lookup { key: &key, hash };
        if shared && let Some(joined) = self.join(&lookup, now, waiter, &mut cloned) {
            return joined;
        }
        let leader = cloned
            .take()
            .expect("the waker is taken only by a call that joins");
        // Allocated before a lock is taken and, if it is not needed, dropped after it is released.
        let mut fresh = Arc::new(Flight::new(key, hash, now, leader));
        if !shared {
            return self.open_unshared(fresh, CallMode::Join);
        }
        loop {
            fresh = match self.open(fresh, waiter) {
                Ok(opened) => return opened,
                Err(fresh) => fresh,
            };
            // Another caller has opened a flight since the lookup.
            if let Some(joined) = self.join(&*fresh, now, waiter, &mut Some(waker.clone())) {
                return joined;
            }
        }
    }

    /// Opens a flight and closes the key's open flight to joiners. The leader must start the flight's task.
    pub(crate) fn open_fresh(&self, key: K, waker: &Waker) -> JoinResult<K, V> {
        let hash = self.hasher.hash_one(&key);
        let fresh = Arc::new(Flight::new(key, hash, self.now(), waker.clone()));
        match self.policy.sharing {
            SharingMode::Share => self.open_superseding(fresh, wait_graph::current_flight()),
            SharingMode::Observe => self.open_unshared(fresh, CallMode::Fresh),
        }
    }

    /// Joins the key's open flight, unless there is none or it has outlived the join window.
    pub(crate) fn join(
        &self,
        key: &dyn HashedKey<K>,
        now: Option<Instant>,
        waiter: Option<FlightId>,
        waker: &mut Option<Waker>,
    ) -> Option<JoinResult<K, V>> {
        let nested = waiter.map(NestedCall::new);
        let listed = self.open.get(key)?;
        let flight = &listed.key().0;
        if !self.is_stale(flight, now) {
            return Some(self.join_flight(flight, nested, waker));
        }
        drop(listed);
        self.detach_if(key, |flight| self.is_stale(flight, now));
        None
    }

    fn join_flight(
        &self,
        flight: &Arc<Flight<K, V>>,
        mut nested: Option<NestedCall>,
        waker: &mut Option<Waker>,
    ) -> JoinResult<K, V> {
        if let Some(nested) = &nested {
            nested.check(flight.id)?;
        }
        let slot = flight.join(self.policy.max_callers_per_flight, waker)?;
        Ok(Membership {
            flight: Arc::clone(flight),
            slot,
            role: Role::Follower,
            waiter: nested.as_mut().map(|nested| nested.record(flight.id)),
        })
    }

    /// Opens a flight with its leader on it. Returns the flight if its key has an open one.
    pub(crate) fn open(
        &self,
        fresh: Arc<Flight<K, V>>,
        waiter: Option<FlightId>,
    ) -> Result<JoinResult<K, V>, Arc<Flight<K, V>>> {
        let nested = waiter.map(NestedCall::new);
        let Entry::Vacant(slot) = self.open.entry(TableEntry(Arc::clone(&fresh))) else {
            return Err(fresh);
        };
        // Admitted under the shard's lock. Before it, a call for the same key could be refused by the limit
        // although the flight that it should join is about to be listed.
        if let Err(refused) = self.admit(|| self.detached.executions(&*fresh)) {
            drop(slot);
            return Ok(Err(refused));
        }
        slot.insert(());
        Ok(Ok(Membership::of_leader(fresh, nested)))
    }

    /// Opens a flight with its leader on it, in place of the open flight of its key.
    ///
    /// Admission, superseding and listing happen under one lock of the shard. If admission came first,
    /// another caller could take the permit; if the open flight were closed first, a call that is then
    /// refused would have closed it for nothing; and if the new flight were listed later, a drain at its
    /// deadline could miss it, and another call could open a third flight in between.
    fn open_superseding(
        &self,
        fresh: Arc<Flight<K, V>>,
        waiter: Option<FlightId>,
    ) -> JoinResult<K, V> {
        let nested = waiter.map(NestedCall::new);
        match self.open.entry(TableEntry(Arc::clone(&fresh))) {
            Entry::Vacant(slot) => {
                self.admit(|| self.detached.executions(&*fresh))?;
                slot.insert(());
            }
            Entry::Occupied(listed) => self.detached.insert_unlisted(&*fresh, |executions| {
                self.admit(|| executions + 1)?;
                // This releases the shard's lock. A thread that does not find the old flight in `open` from
                // here on waits for the lock of `detached`, and finds it there.
                let (TableEntry(superseded), ()) = listed.replace_entry(());
                Ok(superseded)
            })?,
        }
        Ok(Membership::of_leader(fresh, nested))
    }

    /// Admits one more flight of a key that has `executions`, or refuses it by a limit.
    fn admit(&self, executions: impl FnOnce() -> usize) -> Result<(), Error> {
        match self.exceeded_limit(executions) {
            None => self.gate.acquire(),
            // Draining is the reason that does not go away, so it is reported first.
            Some(_) if self.gate.is_closed() => Err(Error::Draining),
            Some(refused) => Err(refused),
        }
    }

    /// The limit that one more flight of this key would exceed, except that on all flights.
    fn exceeded_limit(&self, executions: impl FnOnce() -> usize) -> Option<Error> {
        let limit = self.policy.max_callers_per_flight;
        if limit == 0 {
            return Some(Error::TooManyCallers { limit });
        }
        let limit = self.policy.max_executions_per_key?.max(2);
        // While the shard is locked the number can only decrease.
        (executions() >= limit).then_some(Error::TooManyExecutions { limit })
    }

    /// Opens a flight in observe mode, for this caller alone.
    fn open_unshared(&self, fresh: Arc<Flight<K, V>>, mode: CallMode) -> JoinResult<K, V> {
        // Under one lock: a drain that has closed the gate finds every flight that the gate admitted.
        self.detached
            .insert_if(&fresh, mode, || self.gate.acquire())?;
        Ok(Membership::of_leader(fresh, None))
    }

    /// Closes the key's flight to joiners. True if there was one.
    pub(crate) fn forget(&self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        self.detach_if(&Lookup { key, hash }, |_| true)
    }
}

impl<K: Eq, V> Table<K, V> {
    /// Moves the key's open flight to `detached` if `condition` holds for it. True if it was moved.
    fn detach_if(
        &self,
        key: &dyn HashedKey<K>,
        mut condition: impl FnMut(&Arc<Flight<K, V>>) -> bool,
    ) -> bool {
        let removed = self.open.remove_if(key, |TableEntry(flight), ()| {
            let chosen = condition(flight);
            if chosen {
                self.detached.insert(flight);
            }
            chosen
        });
        removed.is_some()
    }

    /// Ends the membership of a caller that leaves. Cancels the flight if it was the last one, unless the
    /// policy is [`Abandoned::Finish`].
    pub(crate) fn leave(&self, membership: &Membership<K, V>) {
        membership.stop_waiting();
        let abandoned = membership.flight.leave(membership.slot);
        if abandoned && self.policy.abandoned == Abandoned::Cancel {
            self.cancel_abandoned(&membership.flight);
        }
    }

    /// Cancels a flight whose last caller has left, unless a newcomer has joined it since.
    pub(crate) fn cancel_abandoned(&self, flight: &Arc<Flight<K, V>>) {
        // Closed to joiners first: a newcomer has joined before that and keeps the flight, or opens one.
        let mut rejoined = false;
        self.detach_if(&**flight, |open| {
            let same = Arc::ptr_eq(open, flight);
            rejoined = same && flight.attached() > 0;
            same && !rejoined
        });
        // Checked again, because another thread may have closed it after a newcomer had joined.
        if !rejoined && let Some(to_wake) = flight.cancel_if_abandoned() {
            to_wake.wake_all();
        }
    }

    /// Cancels every flight that has not ended, and returns how many. The gate must be closed, so that
    /// none opens meanwhile.
    pub(crate) fn cancel_all(&self) -> usize {
        let flights = self.in_flight();
        let cancelled = flights.values().filter(|flight| self.cancel(flight));
        cancelled.count()
    }

    /// Cancels a flight with callers on it. False if it was settled already.
    fn cancel(&self, flight: &Arc<Flight<K, V>>) -> bool {
        self.detach_if(&**flight, |open| Arc::ptr_eq(open, flight));
        match flight.settle(TerminalState::Cancelled) {
            Ok(to_wake) => {
                to_wake.wake_all();
                true
            }
            Err(_) => false,
        }
    }

    /// Ends a flight whose work has ended and is dropped. Called by its task, once.
    pub(crate) fn close(&self, flight: &Arc<Flight<K, V>>, state: TerminalState<V>) {
        // Removed before it is settled: no call that starts after a flight has landed gets its result.
        // The permit is released before it is settled: see `Gate`.
        let would_have_joined = self.remove(flight);
        self.gate.release();
        let rejected = match flight.settle(state) {
            Ok(to_wake) => {
                to_wake.callers.wake_all();
                None
            }
            Err(state) => Some(state),
        };
        if let Some(observer) = &self.observer {
            observer::report(
                observer,
                flight,
                || flight.age(self.now()),
                would_have_joined,
            );
        }
        self.gate.finish();
        // Last, because dropping a value may panic. No caller waits for this one.
        drop(rejected);
    }

    /// Removes a flight from the table, and no other flight of its key. In observe mode, returns the
    /// flight that it would have joined.
    fn remove(&self, flight: &Arc<Flight<K, V>>) -> Option<FlightId> {
        if self.policy.sharing == SharingMode::Observe {
            return self.detached.remove(flight);
        }
        let key: &dyn HashedKey<K> = &**flight;
        let open = self
            .open
            .remove_if(key, |entry, ()| Arc::ptr_eq(&entry.0, flight));
        if open.is_none() {
            self.detached.remove(flight);
        }
        None
    }
}
