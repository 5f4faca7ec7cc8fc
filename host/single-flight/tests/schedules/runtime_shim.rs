//! The runtime of a run: the explorer's, or real threads. The script and the invariants are the same.

#[cfg(shuttle)]
pub(crate) use explored::*;
#[cfg(not(shuttle))]
pub(crate) use threads::*;

#[cfg(shuttle)]
mod explored {
    use shuttle::rand::{Rng, thread_rng};

    pub(crate) use shuttle::future::{spawn, yield_now};

    /// A random number below `bound`. The explorer generates it, so that a schedule determines a whole run.
    pub(crate) fn random_below(bound: usize) -> usize {
        thread_rng().gen_range(0..bound)
    }
}

#[cfg(not(shuttle))]
mod threads {
    use std::cell::Cell;

    pub(crate) use tokio::spawn;
    pub(crate) use tokio::task::yield_now;

    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    /// A random number below `bound`. Each thread generates the same sequence in every run: runs differ by
    /// their threads only.
    pub(crate) fn random_below(bound: usize) -> usize {
        STATE.with(|state| {
            // SplitMix64.
            let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
            state.set(next);
            let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ (mixed >> 31)) as usize % bound
        })
    }
}
