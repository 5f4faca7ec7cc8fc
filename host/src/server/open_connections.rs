//! [`OpenConnections`]: how many connections of a listener may be open, and which of them is closed first when one
//! more arrives: the one that has been idle for the longest time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::ConnectionActivity;

/// The pause before another idle connection is closed, if the last one is not closed yet or there was none. One that
/// has received a request in the meantime is closed only after its response.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The open connections of a listener.
pub(super) struct OpenConnections {
    /// One permit for each connection that may still be opened.
    permits: Arc<Semaphore>,
    /// One permit for each connection that may be opened when `permits` has none.
    reserve: Arc<Semaphore>,
    /// The origin of the times of all connections.
    origin: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    activities: HashMap<u64, Arc<ConnectionActivity>>,
    /// Connections that were idle when all were last checked, with the time since when; the longest first.
    ///
    /// Invariant: whatever becomes idle later is idle for a shorter time than all of these that still are, so the
    /// first one here that has not changed is the right one without another check of all connections.
    idle: VecDeque<(u64, u64)>,
}

impl OpenConnections {
    /// At most `limit` connections, and `reserve` more for probes.
    pub(super) fn new(limit: usize, reserve: usize) -> Arc<Self> {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            permits: permits(limit),
            reserve: permits(reserve),
            origin: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// Opens a connection, unless the limit is reached.
    pub(super) fn try_open(self: &Arc<Self>) -> Option<OpenConnection> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.register(permit, ConnectionUse::Any))
    }

    /// Opens a connection. At the limit, idle connections are closed until there is room for it; if none is idle, it is
    /// one of the reserve, or waits until one is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing. Connections that are being closed are closed nevertheless.
    pub(super) async fn open(self: &Arc<Self>) -> OpenConnection {
        loop {
            self.close_longest_idle();
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = timeout(RETRY_DELAY, permit).await {
                let permit = permit.expect("it is never closed");
                return self.register(permit, ConnectionUse::Any);
            }
            if let Ok(permit) = Arc::clone(&self.reserve).try_acquire_owned() {
                return self.register(permit, ConnectionUse::Probes);
            }
        }
    }

    fn register(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        permitted: ConnectionUse,
    ) -> OpenConnection {
        let activity = ConnectionActivity::new(self.origin);
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.activities.insert(number, Arc::clone(&activity));
        OpenConnection {
            activity,
            permitted,
            number,
            connections: Arc::clone(self),
            _permit: permit,
        }
    }

    fn close_longest_idle(&self) {
        let mut open = self.lock();
        if open.idle.is_empty() {
            let idle = open.activities.iter();
            let idle =
                idle.filter_map(|(number, activity)| Some((activity.idle_since()?, *number)));
            let mut idle: Vec<_> = idle.collect();
            idle.sort_unstable();
            open.idle = idle.into();
        }
        while let Some((since, number)) = open.idle.pop_front() {
            let activity = open.activities.get(&number);
            if let Some(activity) = activity.filter(|one| one.idle_since() == Some(since)) {
                activity.close();
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionUse {
    Any,
    /// It is one of the reserve: one request of a probe or a scrape.
    Probes,
}

/// A connection that counts as open until this value is dropped.
pub(super) struct OpenConnection {
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) permitted: ConnectionUse,
    number: u64,
    connections: Arc<OpenConnections>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.lock().activities.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, poll};
    use http::Version;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_the_limit_the_connection_that_is_idle_for_the_longest_time_is_closed() {
        let connections = OpenConnections::new(3, 0);
        let mut open = Vec::new();
        for _ in 0..3 {
            advance(Duration::from_millis(10)).await;
            open.push(connections.try_open().unwrap());
        }
        assert!(connections.try_open().is_none());
        let is_closing = |one: &OpenConnection| one.activity.changed().now_or_never() == Some(true);

        // The oldest has a request, so the second is closed.
        let request = ConnectionActivity::begin(&open[0].activity, Version::HTTP_11);
        let mut fourth = Box::pin(connections.open());
        assert!(poll!(fourth.as_mut()).is_pending());
        assert_eq!(
            open.iter().map(is_closing).collect::<Vec<_>>(),
            [false, true, false]
        );
        open.remove(1);
        let fourth = fourth.await;

        // The request ends, so its connection is idle for the shortest time.
        advance(Duration::from_millis(10)).await;
        drop(request);
        open.push(fourth);
        let mut fifth = pin!(connections.open());
        assert!(poll!(fifth.as_mut()).is_pending());
        assert_eq!(
            open.iter().map(is_closing).collect::<Vec<_>>(),
            [false, true, false]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_idle_connection_the_next_one_that_becomes_idle_is_closed() {
        let connections = OpenConnections::new(1, 0);
        let only = connections.try_open().unwrap();
        let request = ConnectionActivity::begin(&only.activity, Version::HTTP_11);
        let mut second = Box::pin(connections.open());
        assert!(poll!(second.as_mut()).is_pending());
        advance(RETRY_DELAY).await;
        assert!(poll!(second.as_mut()).is_pending());
        assert_eq!(only.activity.changed().now_or_never(), None);
        drop(request);
        advance(RETRY_DELAY).await;
        assert!(poll!(second.as_mut()).is_pending());
        assert_eq!(only.activity.changed().now_or_never(), Some(true));
        drop(only);
        second.await;
        assert_eq!(connections.lock().activities.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_is_used_when_no_connection_is_idle() {
        let connections = OpenConnections::new(1, 1);
        let only = connections.try_open().unwrap();
        let _request = ConnectionActivity::begin(&only.activity, Version::HTTP_11);
        let second = connections.open().await;
        assert_eq!(
            (only.permitted, second.permitted),
            (ConnectionUse::Any, ConnectionUse::Probes)
        );
        drop(second);
        assert_eq!(connections.open().await.permitted, ConnectionUse::Probes);
    }
}
