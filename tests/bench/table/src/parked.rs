//! Callers that wait, for the process that counts allocations: see [`heap`](crate::heap).

use std::fs;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Waker};

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::task::yield_now;

use crate::contestants::Coalescer;
use crate::heap::{Held, Parked};
use crate::lineup::Measure;
use crate::uncontended::runtime;
use crate::work::Gated;

/// What an allocator has counted.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Bytes that are allocated now.
    pub bytes: usize,
    /// Allocations that were ever made, growing one included.
    pub allocations: u64,
}

/// So many callers, and a way to read what the global allocator has counted.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// How many wait.
    pub callers: usize,
    /// Reads the counts.
    pub usage: fn() -> Usage,
}

/// Something to wait for.
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

impl Measure for Turn {
    type Sample = anyhow::Result<Held>;

    fn measure<C: Coalescer>(&self) -> anyhow::Result<Held> {
        Ok(Held {
            parked: self.park(OneKey::<C>::default())?,
            future: size_of_val(&OneKey::<C>::default().wait()) as u64,
            joining: self.allocations_while_joining(&OneKey::<C>::default())?,
        })
    }
}

impl Turn {
    /// Tasks that are parked and do nothing else.
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
        // What all tasks share is there before, as is the task that spawns them.
        let shared = Arc::new((waited_for, AtomicUsize::new(0)));
        let spawner = runtime.spawn(async move {
            let before = (usage().bytes, resident());
            for _ in 0..callers {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.wait().await;
                });
            }
            // On one worker, whoever reads that all have begun knows that all wait.
            while shared.1.load(Ordering::Relaxed) < callers {
                yield_now().await;
            }
            let each = |before, after| (after as f64 - before as f64) / callers as f64;
            Parked {
                asked: each(before.0, usage().bytes),
                resident: before
                    .1
                    .zip(resident())
                    .map(|(before, after)| each(before, after)),
            }
        });
        Ok(runtime.block_on(spawner)?)
    }

    /// Allocations of all first polls but the leader's, of futures that are there before.
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

/// Bytes of memory that this process has, where the system tells.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}
