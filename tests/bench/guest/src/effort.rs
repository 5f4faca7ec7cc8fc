//! How much is measured.

use std::time::Duration;

/// How much a run measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// The duration of one participant's turn.
    pub(crate) turn: Duration,
    /// Instances that are idle at the same time.
    pub(crate) idle: usize,
}

impl Effort {
    /// Some minutes.
    pub(crate) const FULL: Self = Self {
        rounds: 15,
        turn: Duration::from_millis(400),
        idle: 200,
    };

    /// Seconds. It shows that everything runs; the figures mean nothing.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        turn: Duration::from_millis(20),
        idle: 8,
    };
}
