//! The executor of the scenes: a runtime that runs only when it is called, until nothing is left to run, and
//! callers that are polled when they were woken. So a caller that hangs here hangs forever: no task can make
//! progress, and no caller has been woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bench_table::coalescer::{Failure, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// A runtime on this thread, without drivers: no timer and no socket can wake anything later.
pub(crate) struct Executor {
    runtime: Runtime,
    /// Notified when the runtime has nothing to run and would park its thread.
    idle: Arc<Notify>,
}

impl Executor {
    pub(crate) fn new() -> Self {
        let idle = Arc::new(Notify::new());
        let parked = Arc::clone(&idle);
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || parked.notify_waiters())
            .build()
            .expect("a runtime without drivers");
        Self { runtime, idle }
    }

    /// Runs the tasks until none of them can make progress.
    pub(crate) fn run(&self) {
        self.runtime.block_on(self.idle.notified());
    }

    /// Runs tasks and callers, until none of them can make progress.
    pub(crate) fn settle(&self, callers: &mut [Caller]) {
        // No peer needs as many turns. One that wakes itself forever fails here.
        const TURNS: usize = 1_000;
        for _ in 0..TURNS {
            self.run();
            let _entered = self.runtime.enter();
            let polled = callers.iter_mut().filter_map(Caller::poll_if_woken);
            if polled.count() == 0 {
                return;
            }
        }
        panic!("expected the callers to settle within {TURNS} turns");
    }
}

/// The state of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It waits for an outcome.
    Waits,
    /// It has the value of the execution with this number.
    Value(u64),
    /// It has this failure.
    Failed(Failure),
    /// Its future panicked.
    Unwound,
    /// It left before it had an outcome.
    Left,
}

/// A caller's future, with the state that an executor has of it.
pub(crate) struct Caller {
    /// Until it has ended or left.
    call: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
    woken: Arc<Woken>,
    polling: Polling,
    pub(crate) receipt: Receipt,
}

/// Whether a caller is polled when it was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polling {
    /// It is.
    Polled,
    /// It is not, like a future in a busy `select!` arm or in a stream that is not polled.
    Held,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// A caller that has not been polled yet.
    pub(crate) fn new(call: impl Future<Output = Outcome> + 'static) -> Self {
        Self {
            call: Some(Box::pin(call)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            polling: Polling::Polled,
            receipt: Receipt::Waits,
        }
    }

    pub(crate) fn set_polling(&mut self, polling: Polling) {
        self.polling = polling;
    }

    /// Drops its future.
    pub(crate) fn leave(&mut self) {
        self.call = None;
        self.receipt = Receipt::Left;
    }

    fn poll_if_woken(&mut self) -> Option<()> {
        let call = self.call.as_mut()?;
        if self.polling == Polling::Held || !self.woken.0.swap(false, Ordering::Relaxed) {
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
