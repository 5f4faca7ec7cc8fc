//! Streams of HTTP/2: each has the timeouts of one response, which over HTTP/1 are the connection's.
//!
//! hyper polls a body only when the caller's window has room for a part of it, and does not limit how long it waits
//! for that. So a [`StreamBody`] records each part that is taken, and a [`StreamTask`], in which hyper's future of the
//! stream runs, ends it when that does not happen in time. Dropping hyper's future resets the stream, and drops what is
//! queued of its response. Other frames of the caller (PING, SETTINGS) do not count.
//!
//! A large body is taken in parts, the last one of a single byte: hyper gives a part to the library's queue as soon as
//! the window has room for its first byte, and ends the future after the last one. With a whole body in the queue
//! nothing could reset the stream. That is so for a body of one part, which therefore keeps its connection until
//! `write_timeout` and no longer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::activity::{ActiveGuard, ConnectionActivity};
use crate::server::body::Body;
use crate::settings::ServerLimits;

/// The size of a part of a body: that of a frame, unless the caller permits larger ones.
const MAX_PART: usize = 16 << 10;

/// Passes the progress of each stream from its request to its task.
///
/// Invariant: hyper calls the service with a request, and then the executor with the stream's future, before it calls
/// the service again. Both happen in the task of the connection, so what is in the slot is of the same stream.
#[derive(Clone)]
pub(super) struct Streams {
    opened: Arc<Mutex<Option<Arc<StreamProgress>>>>,
    activity: Arc<ConnectionActivity>,
    stall: Duration,
    total: Duration,
}

impl Streams {
    pub(super) fn new(activity: &Arc<ConnectionActivity>, limits: &ServerLimits) -> Self {
        Self {
            opened: Arc::default(),
            activity: Arc::clone(activity),
            stall: limits.write_stall_timeout,
            total: limits.write_timeout,
        }
    }

    /// The progress of the stream whose request hyper passes to the service now.
    pub(super) fn open(&self) -> Arc<StreamProgress> {
        let progress = Arc::new(StreamProgress {
            activity: Arc::clone(&self.activity),
            began: AtomicU64::new(0),
            is_complete: AtomicBool::new(false),
            part: AtomicU64::new(0),
        });
        *self.slot() = Some(Arc::clone(&progress));
        progress
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<StreamProgress>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        match self.slot().take() {
            None => drop(tokio::spawn(future)),
            Some(progress) => drop(tokio::spawn(StreamTask {
                future,
                progress,
                stall: self.stall,
                total: self.total,
                timer: None,
            })),
        }
    }
}

/// How far the response of one stream is, in the milliseconds of the connection.
pub(super) struct StreamProgress {
    activity: Arc<ConnectionActivity>,
    /// When the response began; 0 before that.
    began: AtomicU64,
    /// Whether the body was complete at that time.
    is_complete: AtomicBool,
    /// When a part of the body was taken last.
    part: AtomicU64,
}

impl StreamProgress {
    /// The body of the response, `body`, which counts as being written until it is dropped.
    pub(super) fn body(self: Arc<Self>, body: Body, guard: ActiveGuard) -> StreamBody {
        let now = self.activity.now();
        let is_complete = matches!(body, Body::Whole(_));
        self.is_complete.store(is_complete, Ordering::Relaxed);
        self.part.store(now, Ordering::Relaxed);
        self.began.store(now, Ordering::Relaxed);
        StreamBody {
            body,
            rest: Bytes::new(),
            is_divided: false,
            progress: self,
            _guard: guard,
        }
    }

    /// Until when the next part has to be taken, and the setting that says so. `None` before the response.
    fn deadline(&self, stall: Duration, total: Duration) -> Option<(Instant, &'static str)> {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 {
            return None;
        }
        let part = self.activity.at(self.part.load(Ordering::Relaxed)) + stall;
        let all = self.activity.at(began) + total;
        if self.is_complete.load(Ordering::Relaxed) && all < part {
            Some((all, "write_timeout"))
        } else {
            Some((part, "write_stall_timeout"))
        }
    }
}

pin_project! {
    /// The task of a stream: hyper's future, until the time of its response has passed.
    struct StreamTask<F> {
        #[pin]
        future: F,
        progress: Arc<StreamProgress>,
        stall: Duration,
        total: Duration,
        // Only of a response that could not be written at once.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some((deadline, setting)) = this.progress.deadline(*this.stall, *this.total) {
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                tracing::debug!(
                    "a stream whose caller does not read its response is reset: {setting} has passed"
                );
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The body of a response over HTTP/2, in parts.
pub(in crate::server) struct StreamBody {
    body: Body,
    /// What is left of the data that `body` returned last.
    rest: Bytes,
    /// Whether `rest` was larger than a part.
    is_divided: bool,
    progress: Arc<StreamProgress>,
    /// Not dropped at the end of the body: hyper has the last part before the caller's window has room for it.
    _guard: ActiveGuard,
}

impl StreamBody {
    fn next_part(&mut self) -> Bytes {
        let length = self.rest.len();
        let part = if length > MAX_PART {
            self.is_divided = true;
            MAX_PART
        } else if self.is_divided && length > 1 {
            length - 1
        } else {
            length
        };
        self.rest.split_to(part)
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        this.progress
            .part
            .store(this.progress.activity.now(), Ordering::Relaxed);
        if this.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(bytes) => (this.rest, this.is_divided) = (bytes, false),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.next_part()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
