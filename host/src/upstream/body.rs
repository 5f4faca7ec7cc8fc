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

use super::outbound::OpenRequest;
use super::{Failure, chain, late};
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
    request: Option<OpenRequest>,
}

impl CappedBody {
    pub(super) fn new(
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
        between: Duration,
        request: OpenRequest,
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

    /// Ends the body with a failure.
    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let request = self.request.take();
        Poll::Ready(request.map(|request| Err(failure.told(request))))
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
                return self.fail(late("the rest of the body", Error::HttpResponseTimeout));
            }
        };
        let frame = match frame {
            None => {
                self.request = None;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                return self.fail(Failure {
                    named: ClientError::UpstreamUnavailable,
                    told: Error::HttpResponseIncomplete,
                    why: format!("the body broke off: {}", chain(&error)),
                });
            }
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(length) else {
            let limit = self.limit;
            return self.fail(Failure {
                named: ClientError::UpstreamResponseTooLarge,
                told: Error::HttpResponseBodySize(Some(limit as u64)),
                why: format!("the body has more than {limit} bytes"),
            });
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
