//! What a run stands on: the explorer, or real threads. The script and the law are the same.

#[cfg(shuttle)]
pub(crate) use explored::*;
#[cfg(not(shuttle))]
pub(crate) use threads::*;

#[cfg(shuttle)]
mod explored {
    use shuttle::rand::{Rng, thread_rng};

    pub(crate) use shuttle::future::{spawn, yield_now};

    /// A number below `sides`, of the explorer's own dice: a schedule is a whole run.
    pub(crate) fn throw(sides: usize) -> usize {
        thread_rng().gen_range(0..sides)
    }
}

#[cfg(not(shuttle))]
mod threads {
    use std::cell::Cell;

    pub(crate) use tokio::spawn;
    pub(crate) use tokio::task::yield_now;

    thread_local! {
        static DICE: Cell<u64> = const { Cell::new(0) };
    }

    /// A number below `sides`. Each thread has dice of its own, and throws the same numbers in every
    /// run: it is the threads that make runs differ.
    pub(crate) fn throw(sides: usize) -> usize {
        DICE.with(|dice| {
            // The steps of SplitMix64.
            let state = dice.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
            dice.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ (mixed >> 31)) as usize % sides
        })
    }
}
