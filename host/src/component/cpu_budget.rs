//! [`CpuBudget`]: a limit on the processor time of a guest, and [`Meter`], which measures it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::flight_context::{FlightContext, elapsed_time, thread_time};

/// The processor time that a guest may use, across all polls of its future, with the host's work for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuBudget(Duration);

/// The budget is used up. The future must not be polled again.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTimeExceeded(Duration);

/// Measures the polls of the future of one guest, and adds their time to its flight's context.
pub(super) struct Meter<'a> {
    budget: CpuBudget,
    context: &'a FlightContext,
    /// What the flight has used, at the end of the last poll.
    used: Duration,
}

/// How the time of a poll is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollClock {
    /// Elapsed time for the first tenth of the budget, because reading the thread's processor time takes longer than
    /// most polls. Elapsed time is longer where the thread waited for a processor, so on a busy machine only that tenth
    /// is affected.
    Elapsed,
    /// The thread's processor time.
    Processor,
}

impl CpuBudget {
    pub(super) fn new(limit: Duration) -> Self {
        Self(limit)
    }

    /// A meter that ends a guest of the flight of `context` when it has used this budget up.
    pub(super) fn meter(self, context: &FlightContext) -> Meter<'_> {
        Meter {
            budget: self,
            context,
            used: Duration::ZERO,
        }
    }
}

impl Meter<'_> {
    /// Polls `future` once. Also returns how long the poll took. A guest yields every epoch tick, so it overruns its
    /// budget by at most one tick.
    pub(super) fn poll<F: Future>(
        &mut self,
        clock: PollClock,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> (Poll<Result<F::Output, CpuTimeExceeded>>, Duration) {
        let CpuBudget(limit) = self.budget;
        let now = if clock == PollClock::Elapsed && self.used < limit / 10 {
            elapsed_time
        } else {
            thread_time
        };
        let started = now();
        let polled = future.poll(cx);
        let time = now().saturating_sub(started);
        self.used = self.context.add_guest_time(time);
        let polled = match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.used >= limit => Poll::Ready(Err(CpuTimeExceeded(limit))),
            Poll::Pending => Poll::Pending,
        };
        (polled, time)
    }
}

impl fmt::Display for CpuTimeExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the guest exceeded its processor time of {:?}; raise max_cpu_time if it needs more",
            self.0
        )
    }
}
