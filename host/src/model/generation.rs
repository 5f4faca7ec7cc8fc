//! [`Generation`]: the number of a load of a component.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers the loads of components within the process. A client that is reloaded gets a new generation,
/// so that callers of the new load never share a flight of the former one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

impl Generation {
    /// A number that no earlier load in this process had.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_never_repeat() {
        assert_ne!(Generation::next(), Generation::next());
    }
}
