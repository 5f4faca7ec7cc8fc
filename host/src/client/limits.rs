//! [`WithLimits`]: how many executions run concurrently, how long one waits for a permit, and how long a flight may
//! take in total.
//!
//! It is inside single flight, because followers must not use up permits. The bounds on open flights and
//! on callers are the table's; those within one execution are the component's.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Execute;
use crate::flight_context::FlightContext;
use crate::model::{
    Call, ClientError, Functions, Generation, Limits, MAX_CONNECTIONS, Outcome, Resource, Usage,
};

const FLIGHT_TIMEOUT: &str = "flight_timeout";

/// Limits the number of concurrent executions, and ends each at its deadline.
#[derive(Debug)]
pub struct WithLimits<E> {
    next: E,
    permits: Semaphore,
    /// Executions that wait for a permit.
    waiting: AtomicUsize,
    queue_timeout: Duration,
    flight_timeout: Duration,
}

impl<E> WithLimits<E> {
    /// Bounds `next` by `limits.max_executions`, `limits.queue_timeout` and `limits.flight_timeout`.
    pub fn new(next: E, limits: &Limits) -> Self {
        Self {
            next,
            permits: Semaphore::new(limits.max_executions.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            queue_timeout: limits.queue_timeout,
            flight_timeout: limits.flight_timeout,
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        match self.permits.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                self.permits.acquire().await
            }
        }
    }
}

impl<E: Execute> Execute for WithLimits<E> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    fn functions(&self) -> Arc<Functions> {
        self.next.functions()
    }

    fn usage(&self) -> Usage {
        Usage {
            waiting: self.waiting.load(Ordering::Relaxed),
            ..self.next.usage()
        }
    }

    /// # Cancel safety
    ///
    /// Dropping the future returns its permit, or its place in the queue, and ends the execution.
    async fn execute(&self, call: Call, context: &FlightContext) -> Result<Outcome, ClientError> {
        let opened = Instant::now();
        let permit_deadline = opened + self.queue_timeout.min(self.flight_timeout);
        let Ok(Ok(_permit)) = timeout_at(permit_deadline, self.permit()).await else {
            return Err(ClientError::Overloaded(Resource::Executions));
        };
        let mut execution = pin!(self.next.execute(call, context));
        // The execution is polled by reference: at the deadline it must still exist, so that an open request is
        // counted. If it were dropped first, every timeout would be attributed to the guest.
        match timeout_at(opened + self.flight_timeout, &mut execution).await {
            Ok(result) => result,
            Err(_) if context.any_waiting() => {
                Err(ClientError::UpstreamTimeout(Some(MAX_CONNECTIONS)))
            }
            Err(_) if context.any_open() => Err(ClientError::UpstreamTimeout(Some(FLIGHT_TIMEOUT))),
            Err(_) => Err(ClientError::GuestDeadline(FLIGHT_TIMEOUT)),
        }
    }
}

/// Counts one execution that waits for a permit, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Never returns. Has a request open if the key is `upstream`, or had one if it is `answered`.
    #[derive(Debug)]
    struct Stuck(Generation);

    impl Execute for Stuck {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn execute(
            &self,
            call: Call,
            context: &FlightContext,
        ) -> Result<Outcome, ClientError> {
            let _open = (call.x() == Some("upstream")).then(|| context.begin());
            if call.x() == Some("answered") {
                drop(context.begin());
            }
            pending().await
        }
    }

    fn stuck() -> WithLimits<Stuck> {
        let limits = Limits {
            max_executions: 1,
            queue_timeout: Duration::from_secs(1),
            flight_timeout: Duration::from_secs(10),
            ..Limits::default()
        };
        WithLimits::new(Stuck(Generation::next()), &limits)
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_named_after_what_the_flight_waits_for() {
        let client = stuck();
        let start = Instant::now();
        for (key, error) in [
            ("guest", ClientError::GuestDeadline(FLIGHT_TIMEOUT)),
            (
                "upstream",
                ClientError::UpstreamTimeout(Some(FLIGHT_TIMEOUT)),
            ),
            ("answered", ClientError::GuestDeadline(FLIGHT_TIMEOUT)),
        ] {
            let context = FlightContext::default();
            let result = client.execute(key.into(), &context).await;
            assert_eq!(result.unwrap_err(), error, "{key}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_that_gets_no_permit_in_time_is_refused() {
        let client = stuck();
        let start = Instant::now();
        let context = FlightContext::default();
        let mut first = pin!(client.execute("a".into(), &context));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let second = client.execute("b".into(), &context).await;
        assert_eq!(
            second.unwrap_err(),
            ClientError::Overloaded(Resource::Executions)
        );
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn cancel_safety() {
        let client = stuck();
        let context = FlightContext::default();
        {
            let mut dropped = pin!(client.execute("a".into(), &context));
            assert!(futures_util::poll!(dropped.as_mut()).is_pending());
            assert_eq!(client.permits.available_permits(), 0);
            let mut waits = pin!(client.execute("b".into(), &context));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
            assert_eq!(client.usage().waiting, 1);
        }
        assert_eq!(client.permits.available_permits(), 1);
        assert_eq!(client.usage().waiting, 0);
    }
}
