//! [`WithLimits`]: how many executions run at once, how long one waits for its turn, and how long a
//! flight may take in all.
//!
//! It sits inside single-flight, because followers must not use up permits. The bounds on open
//! flights and on callers are the table's; those within one execution are the component's.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Client, ClientError, Generation, Key, Resource, Usage};
use crate::config::Limits;
use crate::upstream::Outbound;

/// Runs at most a number of executions at once, and ends each at its deadline. What that is named after
/// depends on the flight's requests, so it has to run within a flight.
#[derive(Debug)]
pub struct WithLimits<C> {
    next: C,
    permits: Semaphore,
    /// Executions that wait for one.
    waiting: AtomicUsize,
    queue: Duration,
    deadline: Duration,
}

impl<C> WithLimits<C> {
    /// Limits `next` to `limits.executions`, `limits.queue` and `limits.flight`.
    pub fn new(next: C, limits: &Limits) -> Self {
        Self {
            next,
            permits: Semaphore::new(limits.executions.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            queue: limits.queue,
            deadline: limits.flight,
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        match self.permits.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                self.permits.acquire().await
            }
        }
    }
}

impl<C: Client> Client for WithLimits<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    fn usage(&self) -> Usage {
        Usage {
            waiting: self.waiting.load(Ordering::Relaxed),
            ..self.next.usage()
        }
    }

    /// # Cancel safety
    ///
    /// Dropping the future gives back its permit, or its place in the queue, and ends the execution.
    async fn get_items(&self, key: Key) -> Answer {
        let opened = Instant::now();
        let turn = self.turn();
        let Ok(Ok(_permit)) = timeout_at(opened + self.queue.min(self.deadline), turn).await else {
            return Err(ClientError::Overloaded(Resource::Executions)).into();
        };
        let outbound = Outbound::of_this_flight();
        let mut execution = pin!(self.next.get_items(key));
        // The execution is polled by reference: at the deadline it must still be there, so that an
        // open request is counted. Dropped first, it would always look like the guest's own fault.
        match timeout_at(opened + self.deadline, &mut execution).await {
            Ok(answer) => answer,
            Err(_) if outbound.any_open() => Err(ClientError::UpstreamTimeout).into(),
            Err(_) => Err(ClientError::GuestDeadline).into(),
        }
    }
}

/// One more execution waits for its turn, until this is dropped.
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
    use std::sync::Arc;

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
        let ask = |key: &str| Arc::<Outbound>::default().around(client.get_items(key.into()));
        let guest = ask("guest").await;
        assert_eq!(guest.result.unwrap_err(), ClientError::GuestDeadline);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        let upstream = ask("upstream").await;
        assert_eq!(upstream.result.unwrap_err(), ClientError::UpstreamTimeout);
        let answered = ask("answered").await;
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
            let mut waits = pin!(client.get_items("b".into()));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
            assert_eq!(client.usage().waiting, 1);
        }
        assert_eq!(client.permits.available_permits(), 1);
        assert_eq!(client.usage().waiting, 0);
    }
}
