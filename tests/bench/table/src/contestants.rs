//! The ways to share one execution among the callers of a key, behind one trait: ours, what people use
//! instead, and the floors beneath them all.
//!
//! Each peer is written as somebody who knows it well would write it: it is asked for sharing only, so
//! one that caches is set up not to, and what has landed is taken out by whoever ran the work and before
//! its callers are told, wherever the peer lets one. None of them is mended beyond that: what happens
//! to the others when a leader is dropped, or is held unpolled, is the peer's own.
//!
//! A floor shares nothing and looks nothing up. It is what a call cannot cost less than: see [`floors`].

pub mod floors;
mod moka;
mod once_cell;
mod ours;
mod quick_cache;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::moka::Moka;
pub use self::once_cell::OnceCells;
pub use self::ours::Ours;
pub use self::quick_cache::QuickCache;
pub use self::shared::{Shared, SharedTask};

/// A way to share one execution among the callers of a key.
///
/// A measurement makes one with [`Default`], shares it in an [`Arc`], and drops it.
pub trait Coalescer: Default + Send + Sync + 'static {
    /// What it is called in a table.
    const NAME: &'static str;

    /// One that lets so many executions be alive at once, where there is a limit.
    fn with_room(_executions: usize) -> Self {
        Self::default()
    }

    /// One caller's call of `key`. Nothing happens before the first poll.
    ///
    /// `work` is called for the caller that finds no execution under way, and for those who take over
    /// where the peer lets a follower do that. It is called by a caller's poll or in a task of its own,
    /// as the peer has it.
    fn call<F, Fut>(&self, key: u64, work: F) -> impl Future<Output = Outcome> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static;

    /// Asks that later calls of `key` do not join what is under way. False where the peer has no
    /// operation for it.
    fn forget(&self, key: u64) -> bool;
}

/// What a call comes to.
pub type Outcome = Result<Value, Failure>;

/// What an execution returns: the record of that execution, shared by those who got it.
pub type Value = Arc<Execution>;

/// Why a call has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The work said so.
    Work,
    /// The work panicked, and the peer says so rather than panicking as well.
    Panicked,
    /// The peer has given the execution up.
    Cancelled,
    /// The peer let the caller neither join nor lead.
    Refused,
}

/// One execution of the work.
#[derive(Debug)]
pub struct Execution {
    /// Which one.
    pub number: u64,
    /// When a caller first had it. Lowered by each who gets it, read when all calls are done.
    first_receipt: AtomicU64,
}

impl Execution {
    /// An execution whose value nobody has yet.
    pub fn new(number: u64) -> Self {
        Self {
            number,
            first_receipt: AtomicU64::new(u64::MAX),
        }
    }

    /// Notes that a caller got the value `at` this time.
    pub fn received(&self, at: u64) {
        self.first_receipt.fetch_min(at, Ordering::Relaxed);
    }

    /// When the value was first got, of the times that were noted.
    pub fn first_receipt(&self) -> u64 {
        self.first_receipt.load(Ordering::Relaxed)
    }
}
