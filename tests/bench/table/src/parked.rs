//! Callers that wait, for the process that counts allocations: see [`heap`](crate::heap).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Waker};

use anyhow::Context;
use harness::procfs::resident;
use tokio::runtime::Builder;
use tokio::task::yield_now;

use crate::coalescer::Coalescer;
use crate::heap::{Held, Parked};
use crate::lineup::Measure;
use crate::runtime::runtime;
use crate::work::Gated;

/// The counts of an allocator.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Bytes that are allocated.
    pub bytes: usize,
    /// Allocations so far, reallocations included.
    pub allocations: u64,
}

/// Callers, and a way to read the counts of the global allocator.
#[derive(Debug, Clone, Copy)]
pub struct ParkedTurn {
    /// The number of callers.
    pub callers: usize,
    /// Reads the counts.
    pub usage: fn() -> Usage,
}

/// Something that tasks wait for.
trait Wait: Send + Sync + 'static {
    fn wait(&self) -> impl Future + Send;
}

struct Bare;

impl Wait for Bare {
    fn wait(&self) -> impl Future + Send {
        pending::<()>()
    }
}

/// An execution that is never released.
#[derive(Default)]
struct OneKey<C> {
    coalescer: C,
    gated: Arc<Gated>,
}

impl<C: Coalescer> Wait for OneKey<C> {
    fn wait(&self) -> impl Future + Send {
        let gated = Arc::clone(&self.gated);
        self.coalescer.call(0, move || gated.work())
    }
}

impl Measure for ParkedTurn {
    type Sample = anyhow::Result<Held>;

    fn measure<C: Coalescer>(&self) -> anyhow::Result<Held> {
        Ok(Held {
            parked: self.park(OneKey::<C>::default())?,
            future: size_of_val(&OneKey::<C>::default().wait()) as u64,
            joining: self.allocations_while_joining(&OneKey::<C>::default())?,
        })
    }
}

impl ParkedTurn {
    /// Tasks that are parked, without a contestant.
    ///
    /// # Errors
    ///
    /// A runtime cannot be built.
    pub fn bare(&self) -> anyhow::Result<Parked> {
        self.park(Bare)
    }

    fn park<W: Wait>(&self, waited_for: W) -> anyhow::Result<Parked> {
        let &Self { callers, usage } = self;
        let runtime = runtime(1)?;
        // What all tasks share, and the task that spawns them, exist before the measurement.
        let shared = Arc::new((waited_for, AtomicUsize::new(0)));
        let spawner = runtime.spawn(async move {
            let before = (usage().bytes, resident().ok());
            for _ in 0..callers {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.wait().await;
                });
            }
            // There is one worker, so when all have begun, all wait.
            while shared.1.load(Ordering::Relaxed) < callers {
                yield_now().await;
            }
            let each = |before: f64, after: f64| (after - before) / callers as f64;
            Parked {
                requested: each(before.0 as f64, usage().bytes as f64),
                resident: before
                    .1
                    .zip(resident().ok())
                    .map(|(before, after)| each(before as f64, after as f64)),
            }
        });
        Ok(runtime.block_on(spawner)?)
    }

    /// Allocations of the first polls of all followers, whose futures exist before.
    fn allocations_while_joining<W: Wait>(&self, waited_for: &W) -> anyhow::Result<u64> {
        let runtime = Builder::new_current_thread().build()?;
        let _entered = runtime.enter();
        let calls = (0..self.callers).map(|_| Box::pin(waited_for.wait()));
        let mut calls: Vec<_> = calls.collect();
        let cx = &mut task::Context::from_waker(Waker::noop());
        let (leader, followers) = calls.split_first_mut().context("at least one caller")?;
        assert!(leader.as_mut().poll(cx).is_pending());
        let before = (self.usage)().allocations;
        for follower in followers {
            assert!(follower.as_mut().poll(cx).is_pending());
        }
        Ok((self.usage)().allocations - before)
    }
}
