//! What the questions are asked on: a runtime that runs when told to, until nothing is left to run, and
//! callers that are polled when they were woken. So a caller that hangs is one that would hang for ever:
//! no task can go on, and nobody has been woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bench_table::contestants::{Failure, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// A runtime on this thread, without drivers: no timer and no socket can wake anything later.
pub(crate) struct Stage {
    runtime: Runtime,
    /// Told when the runtime has nothing to run and would park its thread.
    idle: Arc<Notify>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let idle = Arc::new(Notify::new());
        let told = Arc::clone(&idle);
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || told.notify_waiters())
            .build()
            .expect("a runtime without drivers");
        Self { runtime, idle }
    }

    /// Runs the tasks until none of them can go on.
    pub(crate) fn run(&self) {
        self.runtime.block_on(self.idle.notified());
    }

    /// Runs tasks and callers, as an executor would, until none of them can go on.
    pub(crate) fn settle(&self, callers: &mut [Caller]) {
        // No peer takes as many turns. One that wakes itself for ever fails here.
        const TURNS: usize = 1_000;
        for _ in 0..TURNS {
            self.run();
            let _entered = self.runtime.enter();
            let polled = callers.iter_mut().filter_map(Caller::poll_if_woken);
            if polled.count() == 0 {
                return;
            }
        }
        panic!("the callers do not come to rest in {TURNS} turns");
    }
}

/// What has become of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It has nothing yet.
    Waits,
    /// It has the value of the execution with this number.
    Value(u64),
    /// It was told this.
    Failed(Failure),
    /// A panic came out of its future.
    Unwound,
    /// It left before it had anything.
    Left,
}

/// A caller's future, and what its executor would know of it.
pub(crate) struct Caller {
    /// Until it has ended or left.
    call: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
    woken: Arc<Woken>,
    attention: Attention,
    pub(crate) receipt: Receipt,
}

/// Whether a caller is polled when it was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// It is.
    Polled,
    /// It is not, like one behind a `select!` arm that is busy, or in a stream that nobody pulls.
    Held,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// One that has not been polled, and is to be.
    pub(crate) fn new(call: impl Future<Output = Outcome> + 'static) -> Self {
        Self {
            call: Some(Box::pin(call)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            attention: Attention::Polled,
            receipt: Receipt::Waits,
        }
    }

    pub(crate) fn attend(&mut self, attention: Attention) {
        self.attention = attention;
    }

    /// Drops its future.
    pub(crate) fn leave(&mut self) {
        self.call = None;
        self.receipt = Receipt::Left;
    }

    fn poll_if_woken(&mut self) -> Option<()> {
        let call = self.call.as_mut()?;
        if self.attention == Attention::Held || !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        let cx = &mut Context::from_waker(&waker);
        self.receipt = match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Some(()),
            Ok(Poll::Ready(Ok(execution))) => Receipt::Value(execution.number),
            Ok(Poll::Ready(Err(failure))) => Receipt::Failed(failure),
            Err(_panic) => Receipt::Unwound,
        };
        self.call = None;
        Some(())
    }
}
