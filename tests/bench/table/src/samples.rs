//! The samples that both the contestants of this process and the Go program return.

use serde::Deserialize;

/// The sample of a turn with crowds of one size: many callers of one key.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct CrowdSample {
    /// Nanoseconds per caller.
    pub nanos: f64,
    /// The most executions of one crowd's work.
    pub executions: u64,
}

/// The sample of a turn with keys by Zipf's law.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ZipfSample {
    /// Calls that returned per second.
    pub calls_per_second: f64,
    /// Executions.
    pub executions: u64,
    /// The most concurrent executions of one key.
    pub alive: u64,
    /// Calls that got a value which a caller had received before they began.
    pub late: u64,
    /// Calls that got no value.
    pub refused: u64,
    /// Calls in total.
    pub calls: u64,
}
