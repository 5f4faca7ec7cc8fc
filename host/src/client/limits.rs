//! [`WithLimits`]: how many executions run at once, how long one waits for its turn, and how long a
//! flight may take in all.
//!
//! It sits inside single-flight, because followers must not use up permits. The bounds on open
//! flights and on callers are the table's; those within one execution are the component's.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Client, ClientError, Generation, Key, Resource};
use crate::config::Limits;
use crate::upstream::Outbound;

/// Runs at most a number of executions at once, and ends each at its deadline.
#[derive(Debug)]
pub struct WithLimits<C> {
    next: C,
    permits: Semaphore,
    queue: Duration,
    deadline: Duration,
}

impl<C> WithLimits<C> {
    /// Limits `next` to `limits.executions`, `limits.queue` and `limits.flight`.
    pub fn new(next: C, limits: &Limits) -> Self {
        Self {
            next,
            permits: Semaphore::new(limits.executions.min(Semaphore::MAX_PERMITS)),
            queue: limits.queue,
            deadline: limits.flight,
        }
    }
}

impl<C: Client> Client for WithLimits<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    /// # Cancel safety
    ///
    /// Dropping the future gives back its permit, or its place in the queue, and ends the execution.
    async fn get_items(&self, key: Key) -> Answer {
        let opened = Instant::now();
        let queued = timeout_at(
            opened + self.queue.min(self.deadline),
            self.permits.acquire(),
        );
        let Ok(Ok(_permit)) = queued.await else {
            return Err(ClientError::Overloaded(Resource::Executions)).into();
        };
        let outbound = Arc::<Outbound>::default();
        let mut execution = pin!(Arc::clone(&outbound).around(self.next.get_items(key)));
        // The execution is polled by reference: at the deadline it must still be there, so that an
        // open request is counted. Dropped first, it would always look like the guest's own fault.
        match timeout_at(opened + self.deadline, &mut execution).await {
            Ok(answer) => answer,
            Err(_) if outbound.any_open() => Err(ClientError::UpstreamTimeout).into(),
            Err(_) => Err(ClientError::GuestDeadline).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Never answers; waits for its upstream where the key says so, or has its answer already.
    #[derive(Debug)]
    struct Stuck(Generation);

    impl Client for Stuck {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn get_items(&self, key: Key) -> Answer {
            let request = || Outbound::of_this_flight().begin();
            let _open = (key.as_str() == "upstream").then(request);
            if key.as_str() == "answered" {
                drop(request());
            }
            pending().await
        }
    }

    fn limits() -> Limits {
        Limits {
            executions: 1,
            queue: Duration::from_secs(1),
            flight: Duration::from_secs(10),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_named_after_what_the_flight_waits_for() {
        let client = WithLimits::new(Stuck(Generation::next()), &limits());
        let start = Instant::now();
        let guest = client.get_items("guest".into()).await;
        assert_eq!(guest.result.unwrap_err(), ClientError::GuestDeadline);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        let upstream = client.get_items("upstream".into()).await;
        assert_eq!(upstream.result.unwrap_err(), ClientError::UpstreamTimeout);
        let answered = client.get_items("answered".into()).await;
        assert_eq!(answered.result.unwrap_err(), ClientError::GuestDeadline);
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_that_gets_no_permit_in_time_is_refused() {
        let client = WithLimits::new(Stuck(Generation::next()), &limits());
        let start = Instant::now();
        let mut first = pin!(client.get_items("a".into()));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let second = client.get_items("b".into()).await;
        assert_eq!(
            second.result.unwrap_err(),
            ClientError::Overloaded(Resource::Executions)
        );
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn cancel_safety() {
        let client = WithLimits::new(Stuck(Generation::next()), &limits());
        {
            let mut dropped = pin!(client.get_items("a".into()));
            assert!(futures_util::poll!(dropped.as_mut()).is_pending());
            assert_eq!(client.permits.available_permits(), 0);
        }
        assert_eq!(client.permits.available_permits(), 1);
    }
}
