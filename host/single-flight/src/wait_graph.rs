//! Which flight waits for which. A call that a flight makes from its own task, for itself or for a flight
//! that waits for it, is refused instead of hanging. Only calls made from a flight's task come here, so
//! other calls pay nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use crate::id::FlightId;
use crate::outcome::Error;
use crate::sync::{Mutex, MutexGuard, process_wide, thread_local};

thread_local! {
    /// The flight whose work this thread is polling.
    static CURRENT: Cell<Option<FlightId>> = const { Cell::new(None) };
}

process_wide! {
    /// Shared by all groups, because a cycle can go through more than one.
    static WAIT_GRAPH: Mutex<WaitGraph> = Mutex::new(WaitGraph(BTreeMap::new()));
}

/// The flights that each flight waits for, one element per call.
///
/// Invariant: the graph has no cycle. A wait that would close one is refused under the same lock under
/// which it would be recorded.
struct WaitGraph(BTreeMap<FlightId, Vec<FlightId>>);

/// A call from a flight's own task that is about to join or open another flight.
///
/// Lock order: this, then a shard of a table. The lock is held from before the flight is looked up until
/// the wait is recorded. Otherwise two flights that call for each other concurrently would both be
/// admitted.
pub(crate) struct NestedCall {
    waiter: FlightId,
    graph: MutexGuard<'static, WaitGraph>,
}

/// Calls `poll`, which polls the work of `flight`.
pub(crate) fn within<R>(flight: FlightId, poll: impl FnOnce() -> R) -> R {
    /// Restores the flight that was current before, also after a panic.
    struct Outer(Option<FlightId>);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }

    let _outer = Outer(CURRENT.with(|current| current.replace(Some(flight))));
    poll()
}

/// The flight whose task is running on this thread.
pub(crate) fn current_flight() -> Option<FlightId> {
    CURRENT.with(Cell::get)
}

impl NestedCall {
    /// A call made in the task of `waiter`.
    pub(crate) fn new(waiter: FlightId) -> Self {
        let graph = lock();
        Self { waiter, graph }
    }

    /// Fails if the wait of this call for `flight` would close a cycle.
    pub(crate) fn check(&self, flight: FlightId) -> Result<(), Error> {
        let mut reached = BTreeSet::from([flight]);
        let mut unvisited = vec![flight];
        while let Some(next) = unvisited.pop() {
            if next == self.waiter {
                return Err(Error::WouldDeadlock);
            }
            let further = self.graph.0.get(&next).into_iter().flatten();
            unvisited.extend(further.filter(|further| reached.insert(**further)));
        }
        Ok(())
    }

    /// Records that the waiter, which is returned, waits for `flight`. Undone by [`remove`].
    pub(crate) fn record(&mut self, flight: FlightId) -> FlightId {
        self.graph.0.entry(self.waiter).or_default().push(flight);
        self.waiter
    }
}

/// Removes one wait of `waiter` for `flight`.
pub(crate) fn remove(waiter: FlightId, flight: FlightId) {
    let mut graph = lock();
    let Some(flights) = graph.0.get_mut(&waiter) else {
        return;
    };
    if let Some(one) = flights.iter().position(|other| *other == flight) {
        flights.swap_remove(one);
    }
    if flights.is_empty() {
        graph.0.remove(&waiter);
    }
}

fn lock() -> MutexGuard<'static, WaitGraph> {
    // Nothing under this lock panics, so a poisoned lock guards consistent state.
    WAIT_GRAPH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of recorded waits of a flight.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn recorded(waiter: FlightId) -> usize {
    lock().0.get(&waiter).map_or(0, Vec::len)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::{NestedCall, remove};
    use crate::id::FlightId;
    use crate::outcome::Error;

    // contract 18
    #[test]
    fn the_end_of_one_wait_leaves_the_other_waits_of_its_flight() {
        let [waiter, ended, other] = [(); 3].map(|()| FlightId::next());
        for flight in [ended, other] {
            NestedCall::new(waiter).record(flight);
        }
        remove(waiter, ended);
        assert_eq!(NestedCall::new(ended).check(waiter), Ok(()));
        let closes_a_cycle = NestedCall::new(other).check(waiter);
        assert_eq!(closes_a_cycle, Err(Error::WouldDeadlock));
        remove(waiter, other);
    }
}
