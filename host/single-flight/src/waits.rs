//! Which flight waits for which, so that one that asks for itself, or for one that waits for it, is told
//! so rather than left to hang. Only calls made from a flight's own task come here: it costs nothing to
//! all others.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard, process_wide, thread_local};
use crate::{Error, FlightId};

thread_local! {
    /// The flight whose work this thread is polling.
    static CURRENT: Cell<Option<FlightId>> = const { Cell::new(None) };
}

process_wide! {
    /// Of all groups, because a circle can go through more than one.
    static WAITS: Mutex<Waits> = Mutex::new(Waits(BTreeMap::new()));
}

/// The flights that each flight waits for, one entry a caller.
///
/// Invariant: there is no circle, as a wait that would close one is refused under the lock under which
/// it would be noted.
struct Waits(BTreeMap<FlightId, Vec<FlightId>>);

/// A call from a flight's own task, on its way aboard another flight.
///
/// Lock order: this, then a shard of a table. Held from before the flight is found until the wait for it
/// is noted: two flights that ask for each other at once would else both be let through.
pub(crate) struct Nested {
    waiter: FlightId,
    waits: MutexGuard<'static, Waits>,
}

/// Polls the work of a flight.
pub(crate) fn within<R>(flight: FlightId, poll: impl FnOnce() -> R) -> R {
    /// Puts the flight back that was current before, also after a panic.
    struct Outer(Option<FlightId>);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }

    let _outer = Outer(CURRENT.with(|current| current.replace(Some(flight))));
    poll()
}

/// The flight in whose task this is called.
pub(crate) fn current() -> Option<FlightId> {
    CURRENT.with(Cell::get)
}

impl Nested {
    /// Of a call made in the task of `waiter`.
    pub(crate) fn new(waiter: FlightId) -> Self {
        let waits = lock();
        Self { waiter, waits }
    }

    /// Whether the flight of this call may wait for `flight`.
    pub(crate) fn may_wait_for(&self, flight: FlightId) -> Result<(), Error> {
        let mut reached = BTreeSet::from([flight]);
        let mut unseen = vec![flight];
        while let Some(next) = unseen.pop() {
            if next == self.waiter {
                return Err(Error::WouldDeadlock);
            }
            let further = self.waits.0.get(&next).into_iter().flatten();
            unseen.extend(further.filter(|further| reached.insert(**further)));
        }
        Ok(())
    }

    /// Notes that it does. Undone by [`end`].
    pub(crate) fn waits_for(&mut self, flight: FlightId) -> FlightId {
        self.waits.0.entry(self.waiter).or_default().push(flight);
        self.waiter
    }
}

/// Notes that a call of `waiter` no longer waits for `flight`.
pub(crate) fn end(waiter: FlightId, flight: FlightId) {
    let mut waits = lock();
    let Some(flights) = waits.0.get_mut(&waiter) else {
        return;
    };
    if let Some(one) = flights.iter().position(|other| *other == flight) {
        flights.swap_remove(one);
    }
    if flights.is_empty() {
        waits.0.remove(&waiter);
    }
}

fn lock() -> MutexGuard<'static, Waits> {
    // Nothing under this lock panics, so what a poisoned one guards is whole.
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many waits of a flight are noted.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn noted(waiter: FlightId) -> usize {
    lock().0.get(&waiter).map_or(0, Vec::len)
}
