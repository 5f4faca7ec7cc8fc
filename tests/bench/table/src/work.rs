//! The work that is measured: next to nothing, so that what is measured is what surrounds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::contestants::{Execution, Outcome, Value};

/// When the work of an uncontended call is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At its first poll.
    Ready,
    /// At its second poll: it yields once.
    Yields,
}

impl Pace {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ready, Self::Yields];

    /// What it is called in a table and on a command line.
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
    /// None: it has the type of work.
    pub async fn work(self, value: Value) -> Outcome {
        if self == Self::Yields {
            yield_now().await;
        }
        Ok(value)
    }
}

/// Work that waits until it is released, and counts how often it is executed.
#[derive(Debug)]
pub struct Gated {
    /// Closed to release: it never has permits.
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
    /// None: it has the type of work.
    pub async fn work(self: Arc<Self>) -> Outcome {
        let number = self.executions.fetch_add(1, Ordering::Relaxed);
        // An error is what the gate answers when it is closed.
        let _ = self.gate.acquire().await;
        Ok(Arc::new(Execution::new(number)))
    }

    /// Lets every execution go on.
    pub fn release(&self) {
        self.gate.close();
    }

    /// How many executions have begun.
    pub fn executions(&self) -> u64 {
        self.executions.load(Ordering::Relaxed)
    }
}
