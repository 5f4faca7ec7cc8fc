//! [`ConnectionActivity`]: what a connection does now, and until when it may continue to do so.
//!
//! It is recorded by the connection's I/O and requests, and read by the connection's task and by
//! [`OpenConnections`](super::open_connections::OpenConnections).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::settings::ServerLimits;

/// What a connection does now, with the milliseconds since its [`ConnectionActivity::origin`] when it began or last
/// made progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// The caller has not sent anything yet.
    Silent { since: u64 },
    /// The caller has begun to send a request head, the preface of HTTP/2, or a TLS handshake.
    Head { since: u64 },
    /// A request waits for its response.
    Waiting,
    /// A response is being written. Over HTTP/2 only if nothing can be written: each stream has timeouts of its own.
    Writing { since: u64 },
    /// All requests have been responded to, or the connection is established and none has arrived yet.
    Idle { since: u64 },
}

impl ConnectionPhase {
    /// How long the phase may last, and the setting that says so.
    pub(super) fn timeout(self, limits: &ServerLimits) -> Option<(u64, Duration, &'static str)> {
        match self {
            Self::Waiting => None,
            Self::Silent { since } | Self::Head { since } => {
                Some((since, limits.header_timeout, "header_timeout"))
            }
            Self::Writing { since } => {
                Some((since, limits.write_stall_timeout, "write_stall_timeout"))
            }
            Self::Idle { since } => Some((since, limits.idle_timeout, "idle_timeout")),
        }
    }
}

/// Shared by the task of a connection, its I/O and its requests.
pub(super) struct ConnectionActivity {
    /// The origin of all times here, the same for all connections of a listener.
    origin: Instant,
    /// Requests that wait: incremented when one begins, decremented when its response is ready or dropped.
    waiting: AtomicUsize,
    /// Responses whose body has not been read to its end. The body of an HTTP/1 response that is ready at once is not
    /// counted: hyper reads it in the same poll.
    responding: AtomicUsize,
    /// Whether the last write could not proceed.
    is_write_blocked: AtomicBool,
    /// When the connection was established, or a request began or got its response.
    progress: AtomicU64,
    /// When bytes were written, or could not be written for the first time after that.
    written: AtomicU64,
    /// When the first bytes since the last request, or since the connection was established, arrived; 0 if none did.
    head: AtomicU64,
    /// Whether a TLS handshake or the preface of HTTP/2 is complete, or any request began: the caller may have opened
    /// the connection for later.
    is_established: AtomicBool,
    /// Whether the connection is of HTTP/2, in which bytes that arrive need not be a request.
    is_http2: AtomicBool,
    /// Set by [`ConnectionActivity::close`].
    is_closing: AtomicBool,
    /// Wakes the task of the connection.
    wake: Notify,
}

impl ConnectionActivity {
    pub(super) fn new(origin: Instant) -> Arc<Self> {
        let activity = Self {
            origin,
            waiting: AtomicUsize::new(0),
            responding: AtomicUsize::new(0),
            is_write_blocked: AtomicBool::new(false),
            progress: AtomicU64::new(0),
            written: AtomicU64::new(0),
            head: AtomicU64::new(0),
            is_established: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            wake: Notify::new(),
        };
        activity.record_progress();
        Arc::new(activity)
    }

    /// The time that a number of milliseconds means.
    pub(super) fn at(&self, milliseconds: u64) -> Instant {
        self.origin + Duration::from_millis(milliseconds)
    }

    pub(super) fn phase(&self) -> ConnectionPhase {
        let read = |time: &AtomicU64| time.load(Ordering::Relaxed);
        let read_count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (head, written) = (read(&self.head), read(&self.written));
        let (is_http2, responding) = (self.is_http2(), read_count(&self.responding) > 0);
        // Frames of HTTP/2 that are no part of a response are no progress.
        let since = if is_http2 {
            read(&self.progress)
        } else {
            read(&self.progress).max(written)
        };
        // First, since another request of the connection may wait for long.
        if self.is_write_blocked.load(Ordering::Relaxed) {
            ConnectionPhase::Writing { since: written }
        } else if read_count(&self.waiting) > 0 || (is_http2 && responding) {
            ConnectionPhase::Waiting
        } else if responding {
            ConnectionPhase::Writing { since }
        } else if head > 0 {
            // Bytes that arrived during the last response wait since its end.
            let since = head.max(since);
            ConnectionPhase::Head { since }
        } else if self.is_established.load(Ordering::Relaxed) {
            ConnectionPhase::Idle { since }
        } else {
            ConnectionPhase::Silent { since }
        }
    }

    /// Since when the connection could be closed without a loss: it has no request, not even a part of one.
    pub(super) fn idle_since(&self) -> Option<u64> {
        match self.phase() {
            ConnectionPhase::Silent { since } | ConnectionPhase::Idle { since } => Some(since),
            ConnectionPhase::Head { .. }
            | ConnectionPhase::Waiting
            | ConnectionPhase::Writing { .. } => None,
        }
    }

    /// Whether the last request was of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether an HTTP/1 request waits, and nothing of its response has been written.
    pub(super) fn is_http1_waiting(&self) -> bool {
        !self.is_http2.load(Ordering::Relaxed)
            && !self.is_write_blocked.load(Ordering::Relaxed)
            && self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether an HTTP/1 request waits, or its response is being written.
    pub(super) fn is_http1_busy(&self) -> bool {
        let phase = self.phase();
        self.is_established.load(Ordering::Relaxed)
            && !self.is_http2.load(Ordering::Relaxed)
            && matches!(
                phase,
                ConnectionPhase::Waiting | ConnectionPhase::Writing { .. }
            )
    }

    /// Bytes have arrived.
    pub(super) fn record_read(&self) {
        if !self.is_http2.load(Ordering::Relaxed) && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The preface of HTTP/2 is complete.
    pub(super) fn record_http2_preface(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
        self.record_handshake();
    }

    /// A TLS handshake is complete: the time for the request head starts with its first byte.
    pub(super) fn record_handshake(&self) {
        self.is_established.store(true, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        self.record_progress();
    }

    /// A write has made progress, or could not proceed.
    pub(super) fn record_write<T>(&self, written: &Poll<T>) {
        self.record_flush(written);
        if written.is_ready() {
            self.written.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A flush has ended, or could not proceed.
    pub(super) fn record_flush<T>(&self, flushed: &Poll<T>) {
        let is_blocked = flushed.is_pending();
        let was_blocked = self.is_write_blocked.swap(is_blocked, Ordering::Relaxed);
        if is_blocked && !was_blocked {
            self.written.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Counts a request of this version of HTTP as waiting for as long as the guard lives.
    pub(super) fn begin(activity: &Arc<Self>, version: Version) -> ActiveGuard {
        let is_http2 = version == Version::HTTP_2;
        activity.is_http2.store(is_http2, Ordering::Relaxed);
        activity.is_established.store(true, Ordering::Relaxed);
        activity.head.store(0, Ordering::Relaxed);
        ActiveGuard::new(activity, |activity| &activity.waiting)
    }

    /// Closes the connection, at the end of the requests that it has.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until the connection is to be closed, or its phase may have changed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&self) -> bool {
        self.wake.notified().await;
        self.is_closing.load(Ordering::Relaxed)
    }

    fn record_progress(&self) {
        self.progress.store(self.now(), Ordering::Relaxed);
    }

    /// At least 1, since 0 means never.
    pub(super) fn now(&self) -> u64 {
        let elapsed = self.origin.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX).max(1)
    }
}

/// A request that waits, or a response that is being written.
pub(super) struct ActiveGuard {
    activity: Arc<ConnectionActivity>,
    count: fn(&ConnectionActivity) -> &AtomicUsize,
}

impl ActiveGuard {
    fn new(
        activity: &Arc<ConnectionActivity>,
        count: fn(&ConnectionActivity) -> &AtomicUsize,
    ) -> Self {
        count(activity).fetch_add(1, Ordering::Relaxed);
        activity.record_progress();
        Self {
            activity: Arc::clone(activity),
            count,
        }
    }
}

impl ActiveGuard {
    /// The response of this request is ready, and is being written for as long as the guard lives.
    pub(super) fn into_response(self) -> Self {
        Self::new(&self.activity, |activity| &activity.responding)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.record_progress();
        (self.count)(activity).fetch_sub(1, Ordering::Relaxed);
        // A stream of HTTP/2 is dropped by its own task, which wakes the connection's only if it has something to
        // write. Without this the connection would be taken for busy until its next event.
        if activity.is_http2.load(Ordering::Relaxed) {
            activity.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn activity() -> Arc<ConnectionActivity> {
        ConnectionActivity::new(Instant::now())
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_time_for_a_head_starts_with_its_first_byte_and_idle_time_with_the_last_response() {
        let activity = activity();
        advance(MILLISECOND * 5).await;
        assert_eq!(activity.phase(), ConnectionPhase::Silent { since: 1 });
        activity.record_read();
        advance(MILLISECOND).await;
        activity.record_read();
        assert_eq!(activity.phase(), ConnectionPhase::Head { since: 5 });
        assert_eq!(activity.idle_since(), None);
        let request = ConnectionActivity::begin(&activity, Version::HTTP_11);
        assert_eq!(activity.phase(), ConnectionPhase::Waiting);
        advance(MILLISECOND).await;
        drop(request);
        advance(MILLISECOND).await;
        assert_eq!(activity.phase(), ConnectionPhase::Idle { since: 7 });
        assert_eq!(activity.idle_since(), Some(7));
        activity.record_read();
        assert_eq!(activity.phase(), ConnectionPhase::Head { since: 8 });
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_the_next_request_count_from_the_end_of_the_response_before() {
        let activity = activity();
        let request = ConnectionActivity::begin(&activity, Version::HTTP_11);
        activity.record_read();
        advance(MILLISECOND * 9).await;
        assert_eq!(activity.phase(), ConnectionPhase::Waiting);
        drop(request);
        assert_eq!(activity.phase(), ConnectionPhase::Head { since: 9 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_or_an_unread_response_is_not_idle() {
        let activity = activity();
        let [one, other] = [(); 2].map(|()| ConnectionActivity::begin(&activity, Version::HTTP_2));
        drop(one);
        assert_eq!(activity.phase(), ConnectionPhase::Waiting);
        let response = other.into_response();
        assert_eq!(activity.phase(), ConnectionPhase::Waiting);
        drop(response);
        assert_eq!(activity.phase(), ConnectionPhase::Idle { since: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_cannot_proceed_has_its_time_whatever_else_waits() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let activity = activity();
            let next = ConnectionActivity::begin(&activity, version);
            advance(MILLISECOND * 2).await;
            activity.record_write(&Poll::<()>::Pending);
            advance(MILLISECOND).await;
            activity.record_write(&Poll::<()>::Pending);
            assert_eq!(activity.phase(), ConnectionPhase::Writing { since: 2 });
            activity.record_write(&Poll::Ready(()));
            activity.record_write(&Poll::<()>::Pending);
            assert_eq!(activity.phase(), ConnectionPhase::Writing { since: 3 });
            activity.record_flush(&Poll::Ready(()));
            assert_eq!(activity.phase(), ConnectionPhase::Waiting);
            drop(next);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_keeps_an_http1_connection_and_not_one_of_http2() {
        for (version, since) in [(Version::HTTP_11, 5), (Version::HTTP_2, 1)] {
            let activity = activity();
            drop(ConnectionActivity::begin(&activity, version));
            advance(MILLISECOND * 5).await;
            activity.record_write(&Poll::Ready(()));
            assert_eq!(
                activity.phase(),
                ConnectionPhase::Idle { since },
                "{version:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_after_its_handshake_and_after_the_preface_of_http2() {
        let activity = activity();
        activity.record_read();
        advance(MILLISECOND * 5).await;
        activity.record_handshake();
        assert_eq!(activity.phase(), ConnectionPhase::Idle { since: 5 });
        advance(MILLISECOND).await;
        activity.record_read();
        assert_eq!(activity.phase(), ConnectionPhase::Head { since: 6 });
        advance(MILLISECOND).await;
        activity.record_http2_preface();
        activity.record_read();
        assert_eq!(activity.phase(), ConnectionPhase::Idle { since: 7 });
    }

    #[tokio::test]
    async fn frames_of_an_http2_connection_are_no_request() {
        let activity = activity();
        drop(ConnectionActivity::begin(&activity, Version::HTTP_2));
        activity.record_read();
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
    }
}
