//! [`InterimResponses`]: counts the interim responses (1xx) to one request, and reports when there are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use hyper::ext::on_informational;
use tokio::sync::Notify;

/// The interim responses to one request. hyper reports those over HTTP/1.1; over HTTP/2 only the timeouts end them.
#[derive(Debug, Default)]
pub(super) struct InterimResponses {
    count: AtomicUsize,
    exceeded: Notify,
}

impl InterimResponses {
    /// Counts those to `request`, of which there may be `max`.
    pub(super) fn count<B>(request: &mut Request<B>, max: usize) -> Arc<Self> {
        let counted = Arc::<Self>::default();
        let counter = Arc::clone(&counted);
        on_informational(request, move |_| {
            if counter.count.fetch_add(1, Ordering::Relaxed) == max {
                counter.exceeded.notify_one();
            }
        });
        counted
    }

    /// Waits until there are more than permitted.
    pub(super) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }
}
