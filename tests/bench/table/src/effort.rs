//! How much is measured: every count in one place.

use std::fmt;

use crate::lineup::Contestant;

/// How much a run measures.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of the sections that take milliseconds a turn.
    pub rounds: usize,
    /// Calls of one caller in a turn of `uncontended`: a few milliseconds.
    pub calls: u64,
    /// How many callers one key has, in each column of `polled` and `tasks`.
    pub crowds: &'static [usize],
    /// Callers in a turn of those two, over as many crowds as it takes: one crowd of ten is too short
    /// to time.
    pub callers_per_turn: usize,
    /// Rounds of `zipf`, whose turns take a good part of a second.
    pub zipf_rounds: usize,
    /// The load of `zipf`.
    pub zipf: ZipfLoad,
    /// Tasks parked on one key in `heap`.
    pub parked: usize,
    /// Who is counted in `instructions`: the floor's calls are, besides.
    pub counted: &'static [Contestant],
    /// Calls in the two runs of `instructions` whose difference counts.
    pub counted_calls: [u64; 2],
    /// Where joins are counted: thousands in each, as keys fall into other places of a table in each run.
    pub joins: &'static [JoinScene],
}

/// Callers that ask for keys of which some are asked for far more often than others.
#[derive(Debug, Clone, Copy)]
pub struct ZipfLoad {
    /// How many keys there are.
    pub keys: usize,
    /// How many callers ask at the same time.
    pub callers: u64,
    /// How often each of them asks.
    pub calls_each: u64,
}

/// A table in which callers join.
#[derive(Debug, Clone, Copy)]
pub struct JoinScene {
    /// Flights that are joined.
    pub keys: u64,
    /// Callers of each, the leader included.
    pub callers: usize,
    /// Flights that are open besides.
    pub others: u64,
}

impl JoinScene {
    /// Callers that join a flight which another has opened.
    pub fn followers(&self) -> u64 {
        self.keys * (self.callers as u64 - 1)
    }
}

impl fmt::Display for JoinScene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keys,
            callers,
            others,
        } = self;
        write!(f, "{callers} x {keys} + {others}")
    }
}

impl Effort {
    /// What the tables are made with: some minutes.
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

    /// Whether everything still runs: seconds, and no figure worth reading.
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
