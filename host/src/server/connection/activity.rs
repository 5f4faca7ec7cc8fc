//! [`ActivityMonitor`]: whether a connection does anything.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

/// Shared by the task of a connection, its I/O and its requests.
#[derive(Default)]
pub(super) struct ActivityMonitor {
    /// Requests in flight: incremented when one begins, decremented when its response is ready or dropped.
    in_flight: AtomicUsize,
    /// Set when a request begins or bytes are written; cleared by [`ActivityMonitor::take_idle`].
    is_active: AtomicBool,
}

impl ActivityMonitor {
    /// Whether there was no activity since the last call, and no request is in flight.
    pub(super) fn take_idle(&self) -> bool {
        !self.is_active.swap(false, Ordering::Relaxed)
            && self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Counts a request as in flight for as long as the guard lives.
    pub(super) fn begin(monitor: &Arc<Self>) -> InFlightGuard {
        monitor.is_active.store(true, Ordering::Relaxed);
        monitor.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(Arc::clone(monitor))
    }

    /// Records the result of a write, and returns it.
    pub(super) fn record_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_active.store(true, Ordering::Relaxed);
        }
        written
    }
}

/// A request in flight.
pub(super) struct InFlightGuard(Arc<ActivityMonitor>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_when_nothing_happened_since_the_last_check() {
        let monitor = Arc::<ActivityMonitor>::default();
        assert!(monitor.take_idle());
        let _ = monitor.record_write(Poll::Pending);
        assert!(monitor.take_idle());
        let _ = monitor.record_write(Poll::Ready(Ok(1)));
        assert!(!monitor.take_idle());
        assert!(monitor.take_idle());
    }

    #[test]
    fn a_connection_with_a_request_in_flight_is_not_idle() {
        let monitor = Arc::<ActivityMonitor>::default();
        let [one, other] = [(); 2].map(|()| ActivityMonitor::begin(&monitor));
        assert!(!monitor.take_idle());
        drop(one);
        assert!(!monitor.take_idle());
        drop(other);
        assert!(monitor.take_idle());
        // A request that ends between two checks is activity, too.
        drop(ActivityMonitor::begin(&monitor));
        assert!(!monitor.take_idle());
    }
}
