//! [`CappedBody`], the body of a response: limited in size and time, and an open request until it has ended.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::failure::RequestFailure;
use super::timeouts::{REQUEST_TIMEOUT, Timeouts};
use crate::flight_context::RequestGuard;

/// The body of a response.
pub(crate) struct CappedBody {
    state: Arc<Mutex<BodyState>>,
    /// Bytes that may still arrive.
    left: usize,
    limit: usize,
    /// When the next frame is due.
    due: Instant,
    /// Fires at `due`. Created by the first wait: most bodies have arrived when they are read, and registering a timer
    /// that is due before all others wakes the runtime.
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    between_bytes: Duration,
    /// The setting that `between_bytes` has its value from.
    setting: Option<&'static str>,
}

/// Written by the body, and by its [`Expiry`] at the deadline: a guest that does not read must not keep its request
/// open.
enum BodyState {
    /// Dropping these closes the connection, or resets the stream, and ends the request.
    Open(Incoming, Arc<RequestGuard>),
    /// The deadline has passed between two reads. The next read returns the error.
    Expired,
    /// Read to its end, or failed. The request is no longer open.
    Ended,
}

/// Ends a body at its deadline, whether or not it is being read.
pub(crate) struct Expiry {
    state: Weak<Mutex<BodyState>>,
    deadline: Instant,
}

impl CappedBody {
    /// Limits `incoming` to `limit` bytes and to `timeouts`. The [`Expiry`] must be polled concurrently with the
    /// body.
    pub(super) fn new(
        incoming: Incoming,
        limit: usize,
        timeouts: &Timeouts,
        guard: Arc<RequestGuard>,
    ) -> (Self, Expiry) {
        let Timeouts {
            deadline,
            between_bytes,
            settings,
            ..
        } = *timeouts;
        let state = if incoming.is_end_stream() {
            BodyState::Ended
        } else {
            BodyState::Open(incoming, guard)
        };
        let state = Arc::new(Mutex::new(state));
        let expiry = Expiry {
            state: Arc::downgrade(&state),
            deadline,
        };
        let body = Self {
            state,
            left: limit,
            limit,
            due: due(deadline, between_bytes),
            timer: None,
            deadline,
            between_bytes,
            setting: settings.between_bytes,
        };
        (body, expiry)
    }

    /// Ends the body with the same errors, none of which is a failure of the request.
    pub(crate) fn ignore_failures(&self) {
        if let BodyState::Open(_, guard) = &*lock(&self.state) {
            guard.ignore_failures();
        }
    }

    /// Fails the request if its response announces more bytes than the limit: the whole body would not be permitted.
    pub(crate) fn require_whole(&mut self) -> Result<(), Error> {
        let announced = self.size_hint().lower();
        if announced <= self.left as u64 {
            return Ok(());
        }
        let failure = RequestFailure::body_too_large(self.limit);
        Err(lock(&self.state).fail(failure))
    }
}

impl Expiry {
    pub(crate) async fn run(self) {
        sleep_until(self.deadline).await;
        if let Some(state) = self.state.upgrade() {
            let mut state = lock(&state);
            if matches!(*state, BodyState::Open(..)) {
                state.fail(rest_timed_out(REQUEST_TIMEOUT));
                *state = BodyState::Expired;
            }
        }
    }
}

fn rest_timed_out(setting: Option<&'static str>) -> RequestFailure {
    RequestFailure::timed_out("the rest of the body", setting, Error::HttpResponseTimeout)
}

impl BodyState {
    /// Ends the body with a failure, and returns the guest's error.
    fn fail(&mut self, failure: RequestFailure) -> Error {
        match std::mem::replace(self, Self::Ended) {
            Self::Open(_, guard) => failure.record(&guard),
            Self::Expired | Self::Ended => failure.into_error(),
        }
    }

    /// The next frame, or an error about `setting` if `overdue` is ready before it.
    fn poll_frame(
        &mut self,
        setting: Option<&'static str>,
        overdue: impl FnOnce(&mut Context<'_>) -> Poll<()>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (incoming, guard) = match self {
            Self::Open(incoming, guard) => (incoming, guard),
            Self::Expired => {
                *self = Self::Ended;
                return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
            }
            Self::Ended => return Poll::Ready(None),
        };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(overdue(cx));
                return Poll::Ready(Some(Err(self.fail(rest_timed_out(setting)))));
            }
        };
        Poll::Ready(match frame {
            None => {
                *self = Self::Ended;
                None
            }
            Some(Err(error)) => {
                let failure = RequestFailure::incomplete_body(&error);
                Some(Err(self.fail(failure)))
            }
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    guard.received(bytes);
                }
                Some(Ok(frame))
            }
        })
    }
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let mut state = lock(&this.state);
        let overdue = |cx: &mut Context<'_>| {
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(this.due)));
            if timer.deadline() != this.due {
                timer.as_mut().reset(this.due);
            }
            timer.as_mut().poll(cx)
        };
        let setting = if this.due == this.deadline {
            REQUEST_TIMEOUT
        } else {
            this.setting
        };
        let frame = match ready!(state.poll_frame(setting, overdue, cx)) {
            Some(Ok(frame)) => frame,
            ended => return Poll::Ready(ended),
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = this.left.checked_sub(length) else {
            let failure = RequestFailure::body_too_large(this.limit);
            return Poll::Ready(Some(Err(state.fail(failure))));
        };
        this.left = left;
        this.due = due(this.deadline, this.between_bytes);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &*lock(&self.state) {
            BodyState::Open(incoming, _) => incoming.is_end_stream(),
            BodyState::Expired => false,
            BodyState::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*lock(&self.state) {
            BodyState::Open(incoming, _) => incoming.size_hint(),
            BodyState::Expired | BodyState::Ended => SizeHint::default(),
        }
    }
}

/// When the next frame is due.
fn due(deadline: Instant, between_bytes: Duration) -> Instant {
    deadline.min(Instant::now() + between_bytes)
}

fn lock(state: &Mutex<BodyState>) -> MutexGuard<'_, BodyState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;
    use wasmtime_wasi_http::RequestOptions;

    use super::*;
    use crate::flight_context::FlightContext;
    use crate::model::Limits;

    /// Sends a header section and the first of three bytes, then one more byte after each of `pauses`.
    async fn send_in_parts(mut server: DuplexStream, pauses: [Duration; 2]) -> io::Result<()> {
        server.read_u8().await?;
        let first = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n1";
        server.write_all(first).await?;
        for pause in pauses {
            sleep(pause).await;
            server.write_all(b"2").await?;
        }
        // Until the client closes the connection.
        server.read_to_end(&mut Vec::new()).await.map(drop)
    }

    async fn request(server: DuplexStream) -> Response<Incoming> {
        let (mut http, connection) = http1::handshake(TokioIo::new(server)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::new(Empty::<Bytes>::new());
        http.send_request(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_pause_within_a_body_is_limited_and_not_their_sum() {
        let second = Duration::from_secs(1);
        let between = second + Duration::from_millis(1);
        let hour = Duration::from_secs(3_600);
        let limits = Limits {
            request_timeout: hour,
            between_bytes_timeout: hour,
            ..Limits::default()
        };
        for (pauses, whole) in [
            ([second, second], true),
            ([second, 2 * second], false),
            ([2 * second, second], false),
        ] {
            let (client, server) = duplex(1_024);
            let sending = tokio::spawn(send_in_parts(server, pauses));
            let incoming = request(client).await.into_body();
            let guard = Arc::new(FlightContext::default().begin());
            let options = RequestOptions {
                connect_timeout: None,
                first_byte_timeout: None,
                between_bytes_timeout: Some(between),
            };
            let timeouts = Timeouts::new(options, &limits);
            let (body, _expiry) = CappedBody::new(incoming, 3, &timeouts, guard);
            assert!(!body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(3));
            let read = body.collect().await.map(|body| body.to_bytes().len());
            assert_eq!(read.ok(), whole.then_some(3), "{pauses:?}");
            sending.abort();
        }
    }
}
