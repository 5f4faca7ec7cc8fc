//! [`Sharing`]: whether callers of one key share a flight.

use std::time::Duration;

/// Whether callers of one key share a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They share one flight.
    Coalesced {
        /// The maximum age of a flight that a caller joins; `None`, the default, for any age. It bounds how old an
        /// answer can be, counted from the caller's request.
        join_window: Option<Duration>,
        /// Whether a caller may request a fresh flight. Off by default, since each such caller costs
        /// the upstream the request that sharing saves.
        allow_fresh: bool,
    },
    /// Every call has its own flight, and the service counts what sharing would save.
    Observed,
}

impl Default for Sharing {
    fn default() -> Self {
        Self::Coalesced {
            join_window: None,
            allow_fresh: false,
        }
    }
}
