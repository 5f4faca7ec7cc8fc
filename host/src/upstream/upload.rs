//! [`Upload`]: what the body of a request and its flight share, so that the body ends with its flight; and
//! [`Uploads`], those of one guest.
//!
//! Wasmtime reads a body whose guest is gone as one that has ended. So whatever ends a flight first cuts the flight's
//! uploads: a body that is cut fails, and its upstream never gets the end of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::AbortHandle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::cut::CutReason;
use super::failure::RequestFailure;
use crate::flight_context::RequestGuard;

/// The uploads of one guest. Dropping it cuts those that are open.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Vec<Weak<Upload>>);

impl Uploads {
    /// A new one.
    pub(super) fn open(&mut self) -> Arc<Upload> {
        let upload = Arc::<Upload>::default();
        self.0.retain(|upload| upload.strong_count() > 0);
        self.0.push(Arc::downgrade(&upload));
        upload
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        for upload in self.0.iter().filter_map(Weak::upgrade) {
            upload.cut(CutReason::FlightEnded);
        }
    }
}

/// The state of one body.
#[derive(Debug)]
pub(super) struct Upload(Mutex<Phase>);

#[derive(Debug)]
enum Phase {
    /// hyper does not have all of the body yet.
    Open {
        /// The task that sends it, once hyper has begun to.
        task: Option<AbortHandle>,
        /// Dropped when this phase ends.
        ended: Option<oneshot::Sender<Infallible>>,
    },
    /// hyper has all of the body, or has dropped it.
    Done,
    /// No more of the body is sent.
    Cut(CutReason),
}

impl Default for Upload {
    fn default() -> Self {
        let (task, ended) = (None, None);
        Self(Mutex::new(Phase::Open { task, ended }))
    }
}

impl Upload {
    /// Records that `task` sends the body.
    pub(super) fn sent_by(&self, task: Option<AbortHandle>) {
        if let Phase::Open { task: sender, .. } = &mut *self.lock() {
            *sender = task;
        }
    }

    /// Why the body was cut, if it was.
    pub(super) fn cut_reason(&self) -> Option<CutReason> {
        match *self.lock() {
            Phase::Cut(reason) => Some(reason),
            Phase::Open { .. } | Phase::Done => None,
        }
    }

    /// Whether hyper does not have all of the body yet.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), Phase::Open { .. })
    }

    /// Records that hyper has all of the body or has dropped it. Fails if the body was cut before.
    pub(super) fn finish(&self) -> Result<(), CutReason> {
        let mut phase = self.lock();
        match *phase {
            Phase::Open { .. } => *phase = Phase::Done,
            Phase::Done => {}
            Phase::Cut(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Cuts the body, unless hyper has all of it. Returns whether this call did.
    pub(super) fn cut(&self, reason: CutReason) -> bool {
        self.cut_after(reason, || {})
    }

    /// Cuts the body, unless hyper has all of it, and fails the request of `guard` if it is still open.
    pub(super) fn fail(&self, reason: CutReason, guard: Option<&RequestGuard>) {
        self.cut_after(reason, || {
            if let Some(guard) = guard {
                RequestFailure::cut(reason).record(guard);
            }
        });
    }

    /// Calls `record` first if it cuts the body. Once a body is cut, its response may break off, and that failure of the
    /// request would be recorded instead.
    fn cut_after(&self, reason: CutReason, record: impl FnOnce()) -> bool {
        let mut phase = self.lock();
        let Phase::Open { task, .. } = &mut *phase else {
            return false;
        };
        record();
        let task = task.take();
        *phase = Phase::Cut(reason);
        drop(phase);
        // If the task polls the body before it ends, it gets the error.
        if let Some(task) = task {
            task.abort();
        }
        true
    }

    /// Cuts the body at `deadline` and fails the request of `guard`, which does not keep that request open.
    pub(super) fn cut_at(self: &Arc<Self>, deadline: Instant, guard: &Arc<RequestGuard>) {
        let (open, ended) = oneshot::channel::<Infallible>();
        match &mut *self.lock() {
            Phase::Open { ended, .. } => *ended = Some(open),
            Phase::Done | Phase::Cut(_) => return,
        }
        let (upload, guard) = (Arc::downgrade(self), Arc::downgrade(guard));
        tokio::spawn(async move {
            if timeout_at(deadline, ended).await.is_ok() {
                return;
            }
            if let Some(upload) = upload.upgrade() {
                upload.fail(CutReason::TimedOut, guard.upgrade().as_deref());
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};

    use futures_util::future::Abortable;

    use super::*;
    use crate::flight_context::FlightContext;
    use crate::model::ClientError;

    /// The task that sends a body. When it is aborted, its request fails at once because the response breaks off.
    struct BreaksOff(Arc<RequestGuard>);

    impl Wake for BreaksOff {
        fn wake(self: Arc<Self>) {
            self.0.fail(ClientError::UpstreamUnavailable, &"broken off");
        }
    }

    #[test]
    fn the_reason_of_a_cut_is_recorded_before_its_response_breaks_off() {
        let context = FlightContext::default();
        let guard = Arc::new(context.begin());
        let (task, registration) = AbortHandle::new_pair();
        let mut sending = pin!(Abortable::new(pending::<()>(), registration));
        let waker = Waker::from(Arc::new(BreaksOff(Arc::clone(&guard))));
        assert!(
            sending
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let upload = Upload::default();
        upload.sent_by(Some(task));
        upload.fail(CutReason::TimedOut, Some(&guard));
        let expected = ClientError::UpstreamTimeout(Some("request_timeout"));
        assert_eq!(context.last_failure(), Some(expected));
    }
}
