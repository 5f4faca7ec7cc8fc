//! Reading the table: counts, snapshots, and the flights that a drain cancels. Nothing here changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::HashedKey;
use crate::flight::Flight;
use crate::id::FlightId;
use crate::snapshot::FlightSnapshot;
use crate::table::Table;

impl<K: Eq, V> Table<K, V> {
    /// The number of callers on flights that have not ended.
    pub(crate) fn callers(&self) -> usize {
        let flights = self.in_flight();
        flights.values().map(|flight| flight.attached()).sum()
    }

    /// The number of keys with an open flight.
    pub(crate) fn entries(&self) -> usize {
        self.open.len()
    }

    /// Calls `visit` for every flight, with no lock held.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&K, &FlightSnapshot)) {
        let now = self.now();
        for flight in self.in_flight().into_values() {
            let listed = self.open.get::<dyn HashedKey<K>>(&*flight);
            let open = listed.is_some_and(|listed| Arc::ptr_eq(&listed.key().0, &flight));
            let snapshot = FlightSnapshot {
                flight: flight.id,
                callers: flight.attached(),
                age: flight.age(now),
                joinable: open && !self.is_stale(&flight, now),
            };
            visit(&flight.key, &snapshot);
        }
    }

    /// The flights whose work has not been dropped.
    pub(super) fn in_flight(&self) -> BTreeMap<FlightId, Arc<Flight<K, V>>> {
        let open = self.open.iter();
        let mut flights: BTreeMap<_, _> = open
            .map(|listed| (listed.key().0.id, Arc::clone(&listed.key().0)))
            .collect();
        // `detached` is read after `open`, because flights move in that direction: each is found at least
        // once, and the map counts it once.
        let detached = self.detached.flights();
        flights.extend(detached.into_iter().map(|flight| (flight.id, flight)));
        flights
    }
}
