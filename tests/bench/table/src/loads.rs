//! The loads that take more than a number to describe.

use std::fmt;

/// Callers that request keys, some of which are far more popular than others.
#[derive(Debug, Clone, Copy)]
pub struct ZipfLoad {
    /// Distinct keys.
    pub keys: usize,
    /// Callers that call at the same time.
    pub callers: u64,
    /// Calls of each of them.
    pub calls_each: u64,
}

/// A table in which callers join.
#[derive(Debug, Clone, Copy)]
pub struct JoinScene {
    /// Flights that are joined.
    pub keys: u64,
    /// Callers of each of them, the leader included.
    pub callers: usize,
    /// Other open flights.
    pub others: u64,
}

impl JoinScene {
    /// All callers that join.
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
