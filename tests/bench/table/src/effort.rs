//! How much is measured: all counts in one place.

use crate::lineup::Contestant;
use crate::loads::{JoinScene, ZipfLoad};

/// How much a run measures.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of the sections whose turns take milliseconds.
    pub rounds: usize,
    /// Calls of one caller in a turn of `uncontended`, which takes a few milliseconds.
    pub calls: u64,
    /// The callers of one key, for each column of `polled` and `tasks`.
    pub crowds: &'static [usize],
    /// Callers in a turn of those two, in as many crowds as that needs: one crowd of ten is too short to time.
    pub callers_per_turn: usize,
    /// Rounds of `zipf`, whose turns take a large part of a second.
    pub zipf_rounds: usize,
    /// The load of `zipf`.
    pub zipf: ZipfLoad,
    /// Tasks parked on one key in `heap`.
    pub parked: usize,
    /// The contestants of `instructions`, to which the floors are added for calls.
    pub counted: &'static [Contestant],
    /// Calls in the two runs of `instructions` whose difference is the result.
    pub counted_calls: [u64; 2],
    /// The scenes in which joins are counted. Each has thousands, because the hashes of keys differ in each run.
    pub joins: &'static [JoinScene],
}

impl Effort {
    /// Some minutes.
    pub const FULL: Self = Self {
        rounds: 25,
        calls: 10_000,
        crowds: &[10, 1_000, 10_000, 100_000],
        callers_per_turn: 20_000,
        zipf_rounds: 7,
        zipf: ZipfLoad {
            keys: 10_000,
            callers: 2_000,
            calls_each: 100,
        },
        parked: 100_000,
        counted: &Contestant::COALESCERS,
        counted_calls: [1_000, 3_000],
        joins: &[
            JoinScene {
                keys: 1_000,
                callers: 10,
                others: 0,
            },
            JoinScene {
                keys: 10,
                callers: 1_000,
                others: 0,
            },
            JoinScene {
                keys: 1,
                callers: 100_000,
                others: 0,
            },
            JoinScene {
                keys: 1,
                callers: 10_000,
                others: 10,
            },
            JoinScene {
                keys: 1,
                callers: 10_000,
                others: 100_000,
            },
        ],
    };

    /// Seconds. It shows that everything runs; the figures mean nothing.
    pub const QUICK: Self = Self {
        rounds: 3,
        calls: 200,
        crowds: &[10, 1_000],
        callers_per_turn: 1_000,
        zipf_rounds: 1,
        zipf: ZipfLoad {
            keys: 1_000,
            callers: 200,
            calls_each: 10,
        },
        parked: 1_000,
        counted: &[Contestant::Ours],
        counted_calls: [10, 110],
        joins: &[JoinScene {
            keys: 1,
            callers: 10,
            others: 10,
        }],
    };
}
