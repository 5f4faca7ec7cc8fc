//! The body of an upstream's answer on its way to a guest: capped in size, bounded in time, and
//! counted as an open request until it has ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use super::Request;
use crate::client::ClientError;

/// An upstream's body.
pub(super) struct CappedBody {
    incoming: Incoming,
    /// Bytes that may still come.
    left: usize,
    limit: usize,
    /// Ready when the answer is due: whole, or its next frame.
    due: Pin<Box<Sleep>>,
    deadline: Instant,
    between: Duration,
    /// Dropped when the body has ended: from then on the flight waits for its guest alone.
    request: Option<Request>,
}

impl CappedBody {
    pub(super) fn new(
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
        between: Duration,
        request: Request,
    ) -> Self {
        let due = Box::pin(tokio::time::sleep_until(
            deadline.min(Instant::now() + between),
        ));
        Self {
            incoming,
            left: limit,
            limit,
            due,
            deadline,
            between,
            request: Some(request),
        }
    }

    /// Ends the body: tells the guest `error`, and the flight what it will be named after.
    fn fail(
        &mut self,
        named: ClientError,
        error: Error,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(request) = self.request.take() {
            request.failed(named);
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.request.is_none() {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.due.as_mut().poll(cx));
                return self.fail(ClientError::UpstreamTimeout, Error::HttpResponseTimeout);
            }
        };
        let frame = match frame {
            None => {
                self.request = None;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                tracing::warn!(error = %super::chain(&error), "the upstream broke off");
                return self.fail(
                    ClientError::UpstreamUnavailable,
                    Error::HttpResponseIncomplete,
                );
            }
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(length) else {
            let limit = self.limit;
            return self.fail(
                ClientError::UpstreamResponseTooLarge { limit },
                Error::HttpResponseBodySize(Some(limit as u64)),
            );
        };
        self.left = left;
        let due = self.deadline.min(Instant::now() + self.between);
        self.due.as_mut().reset(due);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.request.is_none() || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
