//! [`CpuBudget`]: a limit on the processor time of a guest.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::flight_context::FlightContext;

/// The processor time that a guest may use, across all polls of its future.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuBudget(Duration);

/// The budget is used up. The future has been dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTimeExceeded(Duration);

impl CpuBudget {
    pub(super) fn new(limit: Duration) -> Self {
        Self(limit)
    }

    /// Polls `future` until it is ready or has used the budget up inside its polls, and adds the time to
    /// `context`. A guest yields every epoch tick, so it overruns its budget by at most one tick.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `future`.
    pub(super) async fn run<F: Future>(
        self,
        context: &FlightContext,
        future: F,
    ) -> Result<F::Output, CpuTimeExceeded> {
        let Self(limit) = self;
        let mut future = pin!(future);
        let mut used = Duration::ZERO;
        poll_fn(|cx| {
            // Reading the thread's processor time takes longer than most polls. For the first tenth of the budget,
            // elapsed time is used instead. Elapsed time is longer where the thread waited for a processor, so on a
            // busy machine only that tenth is affected.
            let clock = if used < limit / 10 {
                ClockId::Monotonic
            } else {
                ClockId::ThreadCPUTime
            };
            let started = now(clock);
            let polled = future.as_mut().poll(cx);
            let polling = now(clock).saturating_sub(started);
            used += polling;
            context.add_guest_time(polling);
            match polled {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending if used >= limit => Poll::Ready(Err(CpuTimeExceeded(limit))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
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

fn now(clock: ClockId) -> Duration {
    // Neither of the two clocks goes below zero.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
