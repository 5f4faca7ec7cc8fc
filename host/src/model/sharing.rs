//! [`Sharing`]: whether callers of one key share a flight.

use std::time::Duration;

/// Whether callers of one key share a flight, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They do.
    Coalesced {
        /// The greatest age of a flight that a caller joins: `None`, the default, for any. It bounds how old
        /// an answer can be when its caller requests it.
        join_window: Option<Duration>,
        /// Whether a caller may request a fresh flight. Off by default, since each such caller costs
        /// the upstream the request that sharing saves.
        allow_fresh: bool,
    },
    /// Every call is a flight of its own, and what sharing would have saved is counted.
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
