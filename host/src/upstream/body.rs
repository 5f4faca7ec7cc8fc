//! Bodies on their way: an upstream's to a guest, capped in size, bounded in time, and counted as an
//! open request until it has ended; and a guest's to an upstream, held to the length it announced.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Failure, chain, late};
use crate::flight_context::RequestGuard;
use crate::model::ClientError;

/// An upstream's body.
pub(super) struct CappedBody {
    state: Arc<Mutex<State>>,
    /// Bytes that may still come.
    left: usize,
    limit: usize,
    /// When the next frame is due.
    due: Instant,
    /// Ready then. Made by the first wait: most bodies are there when they are asked for, and a timer that
    /// ends before all others interrupts the wait of the whole runtime.
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    between: Duration,
}

/// Written by the body, and by its [`Expiry`] at the deadline: a guest that does not read is no reason
/// for a request to go on.
enum State {
    /// Dropping these closes the connection, or resets the stream, and ends the request.
    Open(Incoming, RequestGuard),
    /// Its time was over while nobody read it. The guest is told when it does.
    Expired,
    /// Read to its end, or failed; from then on the flight waits for its guest alone.
    Ended,
}

/// Ends a body at its deadline, whether or not it is read.
pub(super) struct Expiry {
    state: Weak<Mutex<State>>,
    deadline: Instant,
}

impl CappedBody {
    /// `incoming`, of at most `limit` bytes, whole at `deadline`, and with no longer pauses than
    /// `between`; and what ends it at the deadline, to be run beside it.
    pub(super) fn new(
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
        between: Duration,
        request: RequestGuard,
    ) -> (Self, Expiry) {
        let state = if incoming.is_end_stream() {
            State::Ended
        } else {
            State::Open(incoming, request)
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
            due: due(deadline, between),
            timer: None,
            deadline,
            between,
        };
        (body, expiry)
    }
}

impl Expiry {
    pub(super) async fn run(self) {
        sleep_until(self.deadline).await;
        if let Some(state) = self.state.upgrade() {
            let mut state = lock(&state);
            if matches!(*state, State::Open(..)) {
                state.fail(late(REST, Error::HttpResponseTimeout));
                *state = State::Expired;
            }
        }
    }
}

const REST: &str = "the rest of the body";

impl State {
    /// Ends the body with a failure; what is left is for the guest.
    fn fail(&mut self, failure: Failure) -> Error {
        match std::mem::replace(self, Self::Ended) {
            Self::Open(_, request) => failure.end(request),
            Self::Expired | Self::Ended => failure.error,
        }
    }

    /// What comes next, if it does before `overdue` is ready.
    fn poll_frame(
        &mut self,
        overdue: impl FnOnce(&mut Context<'_>) -> Poll<()>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let incoming = match self {
            Self::Open(incoming, _) => incoming,
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
                let failure = late(REST, Error::HttpResponseTimeout);
                return Poll::Ready(Some(Err(self.fail(failure))));
            }
        };
        Poll::Ready(match frame {
            None => {
                *self = Self::Ended;
                None
            }
            Some(Err(error)) => Some(Err(self.fail(Failure {
                named: ClientError::UpstreamUnavailable,
                error: Error::HttpResponseIncomplete,
                why: format!("the body broke off: {}", chain(&error)),
            }))),
            Some(Ok(frame)) => Some(Ok(frame)),
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
        let frame = match ready!(state.poll_frame(overdue, cx)) {
            Some(Ok(frame)) => frame,
            ended => return Poll::Ready(ended),
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = this.left.checked_sub(length) else {
            let limit = this.limit;
            let failure = Failure {
                named: ClientError::UpstreamResponseTooLarge,
                error: Error::HttpResponseBodySize(Some(limit as u64)),
                why: format!("the body has more than {limit} bytes"),
            };
            return Poll::Ready(Some(Err(state.fail(failure))));
        };
        this.left = left;
        this.due = due(this.deadline, this.between);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &*lock(&self.state) {
            State::Open(incoming, _) => incoming.is_end_stream(),
            State::Expired => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*lock(&self.state) {
            State::Open(incoming, _) => incoming.size_hint(),
            State::Expired | State::Ended => SizeHint::default(),
        }
    }
}

/// When the next part of a body is due.
fn due(deadline: Instant, between: Duration) -> Instant {
    deadline.min(Instant::now() + between)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest's body. One of another length than was announced fails, with the connection under it: what
/// there is of it must not be taken for a request, nor what is too much for the next one.
pub(super) struct LengthCheckedBody {
    inner: WasiBody,
    /// Bytes that are still to come, where a length was announced.
    left: Option<u64>,
}

impl LengthCheckedBody {
    pub(super) fn new(inner: WasiBody, length: Option<u64>) -> Self {
        let left = length;
        Self { inner, left }
    }
}

impl Body for LengthCheckedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let Some(left) = self.left else {
            return Poll::Ready(frame);
        };
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) => return Poll::Ready(frame),
            None if left > 0 => return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None)))),
            None => return Poll::Ready(None),
        };
        self.left = left.checked_sub(length);
        Poll::Ready(match self.left {
            Some(_) => frame,
            None => Some(Err(Error::HttpRequestBodySize(None))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none_or(|left| left == 0) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty, Full, StreamBody};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;
    use crate::flight_context::FlightContext;

    /// Sends a head and the first byte of three; then, after `pauses`, one more each.
    async fn send_in_parts(mut server: DuplexStream, pauses: [Duration; 2]) -> io::Result<()> {
        server.read_u8().await?;
        let first = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n1";
        server.write_all(first).await?;
        for pause in pauses {
            sleep(pause).await;
            server.write_all(b"2").await?;
        }
        // Until the other side has what it wants.
        server.read_to_end(&mut Vec::new()).await.map(drop)
    }

    async fn asked(server: DuplexStream) -> Response<Incoming> {
        let (mut http, connection) = http1::handshake(TokioIo::new(server)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::new(Empty::<Bytes>::new());
        http.send_request(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_within_a_body_is_limited_and_not_all_of_them_together() {
        let (second, forever) = (Duration::from_secs(1), Duration::from_secs(3_600));
        let between = second + Duration::from_millis(1);
        for (pauses, whole) in [
            ([second, second], true),
            ([second, 2 * second], false),
            ([2 * second, second], false),
        ] {
            let (client, server) = duplex(1_024);
            let sending = tokio::spawn(send_in_parts(server, pauses));
            let incoming = asked(client).await.into_body();
            let request = FlightContext::default().begin();
            let deadline = Instant::now() + forever;
            let (body, _expiry) = CappedBody::new(incoming, 3, deadline, between, request);
            let read = body.collect().await.map(|body| body.to_bytes().len());
            assert_eq!(read.ok(), whole.then_some(3), "{pauses:?}");
            sending.abort();
        }
    }

    /// What a body of `parts` comes to, of which `length` was announced.
    async fn announced(length: Option<u64>, parts: &[&'static str]) -> Result<usize, ()> {
        let frames = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))));
        let frames: Vec<Result<_, Error>> = frames.collect();
        let inner = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let collected = LengthCheckedBody::new(inner, length).collect().await;
        collected.map(|body| body.to_bytes().len()).map_err(drop)
    }

    // Under HTTP/1.1 hyper finds the same; under HTTP/2 nobody else does before the upstream.
    #[tokio::test]
    async fn a_body_is_as_long_as_was_announced_or_fails() {
        assert_eq!(announced(Some(5), &["ab", "cde"]).await, Ok(5));
        assert_eq!(announced(Some(0), &[]).await, Ok(0));
        assert_eq!(announced(None, &["ab", "cde"]).await, Ok(5));
        assert_eq!(announced(Some(6), &["ab", "cde"]).await, Err(()));
        assert_eq!(announced(Some(4), &["ab", "cde"]).await, Err(()));
        assert_eq!(announced(Some(0), &["a"]).await, Err(()));
        assert_eq!(announced(Some(1), &[]).await, Err(()));
    }

    #[test]
    fn a_body_is_not_over_before_its_length_was_reached() {
        let empty = || {
            Full::<Bytes>::default()
                .map_err(|never| match never {})
                .boxed_unsync()
        };
        assert!(LengthCheckedBody::new(empty(), None).is_end_stream());
        assert!(LengthCheckedBody::new(empty(), Some(0)).is_end_stream());
        assert!(!LengthCheckedBody::new(empty(), Some(1)).is_end_stream());
    }
}
