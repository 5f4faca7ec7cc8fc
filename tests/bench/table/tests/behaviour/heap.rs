//! Whether a peer keeps memory for keys that everyone has left. None of them says how many entries it
//! has that are under way, so what it allocates is counted.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait, and this one is the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bench_table::contestants::Coalescer;

use crate::stage::{Caller, Stage};
use crate::works::Works;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes allocated on this thread and not freed on it. A test stays on its thread, and so does all
    /// that a peer does in it.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

/// Whether at least a key's worth of memory is left for each key whose only caller was dropped.
pub(crate) fn keeps_abandoned<C: Coalescer>() -> bool {
    const KEYS: u64 = 1_024;
    let (stage, coalescer) = (Stage::new(), Arc::new(C::default()));
    let abandon = |key: u64| {
        let call = Arc::clone(&coalescer);
        let call = async move { call.call(key, || Arc::<Works>::default().work()).await };
        let mut caller = [Caller::new(call)];
        stage.settle(&mut caller);
        caller[0].leave();
        stage.settle(&mut caller);
    };
    let growth = (0..4).map(|round| {
        let before = ALIVE.get();
        (round * KEYS..(round + 1) * KEYS).for_each(abandon);
        ALIVE.get() - before
    });
    // In every round: the first also has what is allocated once, and what moka drops is freed later, it
    // may be on another thread that uses moka as well.
    let growth: Vec<_> = growth.collect();
    let least = growth.into_iter().min();
    least >= Some(KEYS as isize * size_of::<u64>() as isize)
}

/// The system's allocator, with the bytes counted.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALIVE.set(ALIVE.get() + layout.size() as isize);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALIVE.set(ALIVE.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
