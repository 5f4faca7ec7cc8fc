//! The work of the calls: next to nothing, so that the coalescer is measured and not the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::coalescer::{Execution, Outcome, Value};

/// When the work of an uncontended call is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It is ready at its first poll.
    Ready,
    /// It yields once, and is ready at its second poll.
    Yields,
}

impl Pace {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ready, Self::Yields];

    /// Its name in tables and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Yields => "yields",
        }
    }

    /// The work of one call.
    ///
    /// # Errors
    ///
    /// Never: work has this type.
    pub async fn work(self, value: Value) -> Outcome {
        if self == Self::Yields {
            yield_now().await;
        }
        Ok(value)
    }
}

/// Work that waits until it is released, and counts its executions.
#[derive(Debug)]
pub struct Gated {
    /// It never has permits; closing it releases the work.
    gate: Semaphore,
    executions: AtomicU64,
}

impl Default for Gated {
    fn default() -> Self {
        Self {
            gate: Semaphore::const_new(0),
            executions: AtomicU64::new(0),
        }
    }
}

impl Gated {
    /// The work of one caller.
    ///
    /// # Errors
    ///
    /// Never: work has this type.
    pub async fn work(self: Arc<Self>) -> Outcome {
        let number = self.executions.fetch_add(1, Ordering::Relaxed);
        // The error means that the gate is closed.
        let _ = self.gate.acquire().await;
        Ok(Arc::new(Execution::new(number)))
    }

    /// Releases every execution.
    pub fn release(&self) {
        self.gate.close();
    }

    /// How many executions have begun.
    pub fn executions(&self) -> u64 {
        self.executions.load(Ordering::Relaxed)
    }
}
