//! The identity of a flight.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;

/// The identity of a flight, unique in this process. The order of ids is not the order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(NonZeroU64);

impl FlightId {
    pub(crate) fn next() -> Self {
        // Not the primitives of `crate::sync`: no schedule depends on which id a flight gets.
        use std::sync::atomic::{AtomicU64, Ordering};
        use std::thread_local;

        // Each thread reserves ids in blocks, so that threads do not share a counter for every flight.
        const BLOCK: u64 = 1 << 10;
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static LAST: Cell<u64> = const { Cell::new(0) };
        }
        LAST.with(|last| {
            let before = if last.get().is_multiple_of(BLOCK) {
                BLOCKS.fetch_add(BLOCK, Ordering::Relaxed)
            } else {
                last.get()
            };
            last.set(before + 1);
            FlightId(NonZeroU64::MIN.saturating_add(before))
        })
    }
}

impl fmt::Display for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::FlightId;
    use std::collections::HashSet;
    use std::thread;

    #[test]
    fn flights_of_all_threads_have_different_ids() {
        // More than a thread reserves in one block.
        const IDS: usize = if cfg!(miri) { 1_100 } else { 3_000 };
        let take = || thread::spawn(|| (0..IDS).map(|_| FlightId::next()).collect::<Vec<_>>());
        let threads = [(); 2].map(|()| take());
        let taken = threads.map(|thread| thread.join().unwrap());
        let ids: HashSet<_> = taken.iter().flatten().collect();
        assert_eq!(ids.len(), 2 * IDS);
    }
}
