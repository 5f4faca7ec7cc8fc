//! Whether a peer keeps memory for keys that all callers have left. No peer reports its number of entries in
//! flight, so its allocations are counted.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait, and this one is the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bench_table::coalescer::Coalescer;

use crate::executions::Executions;
use crate::executor::{Caller, Executor};

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes allocated on this thread and not freed on it. A test stays on its thread, and the peer with it.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

/// Whether memory of at least the size of a key is left for each key whose only caller was dropped.
pub(crate) fn keeps_abandoned<C: Coalescer>() -> bool {
    const KEYS: u64 = 1_024;
    let (executor, coalescer) = (Executor::new(), Arc::new(C::default()));
    let abandon = |key: u64| {
        let call = Arc::clone(&coalescer);
        let call = async move { call.call(key, || Arc::<Executions>::default().work()).await };
        let mut caller = [Caller::new(call)];
        executor.settle(&mut caller);
        caller[0].leave();
        executor.settle(&mut caller);
    };
    let growth = (0..4).map(|round| {
        let before = ALIVE.get();
        (round * KEYS..(round + 1) * KEYS).for_each(abandon);
        ALIVE.get() - before
    });
    // The least of all rounds: the first includes what is allocated once, and moka frees memory later, possibly
    // on another thread that uses moka too.
    let growth: Vec<_> = growth.collect();
    let least = growth.into_iter().min();
    least >= Some(KEYS as isize * size_of::<u64>() as isize)
}

/// The system's allocator, with bytes counted.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALIVE.set(ALIVE.get() + layout.size() as isize);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALIVE.set(ALIVE.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
