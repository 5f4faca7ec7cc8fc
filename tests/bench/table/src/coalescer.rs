//! The trait that all contestants implement, and what a call returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A way to share one execution among the callers of a key.
///
/// A measurement makes one with [`Default`], shares it in an [`Arc`], and drops it.
pub trait Coalescer: Default + Send + Sync + 'static {
    /// Its name in tables.
    const NAME: &'static str;

    /// Makes one that allows this many concurrent executions, if it has a limit.
    fn with_room(_executions: usize) -> Self {
        Self::default()
    }

    /// One caller's call of `key`. Nothing happens before the first poll.
    ///
    /// `work` is called for a caller that finds no execution in flight, and for a follower that takes over, if
    /// the peer lets it. It is called by a caller's poll or in a separate task, depending on the peer.
    fn call<F, Fut>(&self, key: u64, work: F) -> impl Future<Output = Outcome> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static;

    /// Keeps later calls of `key` from joining the execution in flight. False if the peer has no such
    /// operation.
    fn forget(&self, key: u64) -> bool;
}

/// The outcome of a call.
pub type Outcome = Result<Value, Failure>;

/// The value of an execution: its record, shared by the callers that got it.
pub type Value = Arc<Execution>;

/// Why a call has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The work failed.
    Work,
    /// The work panicked, and the peer returns an error instead of panicking too.
    Panicked,
    /// The peer cancelled the execution.
    Cancelled,
    /// The peer let the caller neither join nor open a flight.
    Refused,
}

/// One execution of the work.
#[derive(Debug)]
pub struct Execution {
    /// Its number.
    pub number: u64,
    /// The earliest time at which a caller received it. Each caller that receives it lowers it; it is read when
    /// all calls are done.
    first_receipt: AtomicU64,
}

impl Execution {
    /// An execution whose value no caller has received.
    pub fn new(number: u64) -> Self {
        Self {
            number,
            first_receipt: AtomicU64::new(u64::MAX),
        }
    }

    /// Records that a caller received the value at this time.
    pub fn received(&self, at: u64) {
        self.first_receipt.fetch_min(at, Ordering::Relaxed);
    }

    /// The earliest recorded time.
    pub fn first_receipt(&self) -> u64 {
        self.first_receipt.load(Ordering::Relaxed)
    }
}
