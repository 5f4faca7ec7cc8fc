//! [`RequestBody`]: the body of a request. It ends only if its guest has finished it, with the length that was
//! announced; otherwise it fails, and its upstream never gets the end of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use super::connection_tasks::current_task;
use super::cut::{CutReason, UploadError};
use super::upload::{Upload, Uploads};
use crate::flight_context::RequestGuard;

/// The body of a request.
pub(crate) struct RequestBody {
    framed: FramedBody,
    /// What [`poll_first`](Self::poll_first) has read.
    first: Option<Frame<Bytes>>,
    /// Whether hyper has polled this body.
    is_polled: bool,
    upload: Arc<Upload>,
    /// Keeps the request open until hyper has all of the body.
    guard: Option<Arc<RequestGuard>>,
}

impl RequestBody {
    /// The body to send for `inner`, a body of the guest of `uploads`.
    pub(crate) fn new(inner: WasiBody, uploads: &mut Uploads) -> Self {
        Self {
            framed: FramedBody::new(inner),
            first: None,
            is_polled: false,
            upload: uploads.open(),
            guard: None,
        }
    }

    /// No body.
    pub(super) fn empty() -> Self {
        let empty = Empty::new().map_err(|never| match never {});
        Self {
            framed: FramedBody::new(empty.boxed_unsync()),
            first: None,
            is_polled: false,
            upload: Arc::default(),
            guard: None,
        }
    }

    /// Sets the length that `Content-Length` announces, and the maximum length.
    pub(super) fn expect(&mut self, length: Option<u64>, max: usize) {
        self.framed.left = length;
        self.framed.max = max;
        self.framed.room = max;
    }

    /// Keeps the request of `guard` open until hyper has all of this body, which fails at `deadline`.
    pub(super) fn begin(&mut self, guard: &Arc<RequestGuard>, deadline: Instant) -> Arc<Upload> {
        if !self.is_end_stream() {
            self.upload.cut_at(deadline, guard);
            self.guard = Some(Arc::clone(guard));
        }
        Arc::clone(&self.upload)
    }

    /// Waits for the first frame or the end of a body that hyper has not been given. Returns whether there is a frame.
    ///
    /// # Cancel safety
    ///
    /// A frame that has been read is kept.
    pub(super) async fn has_frames(&mut self) -> Result<bool, CutReason> {
        let read = match poll_fn(|cx| self.framed.poll_frame(cx)).await {
            Some(Ok(frame)) => {
                self.first = Some(frame);
                Ok(true)
            }
            Some(Err(reason)) => Err(reason),
            None => self.finish().map(|()| false),
        };
        read.inspect_err(|reason| {
            self.upload.cut(*reason);
        })
    }

    /// Records that the guest has finished the body. Fails if the body was cut: a guest that is gone looks like one that
    /// has finished, but the upload is cut before the guest is dropped.
    fn finish(&mut self) -> Result<(), CutReason> {
        self.upload.finish()?;
        self.guard = None;
        Ok(())
    }

    /// Ends the body with an error.
    fn fail(&mut self, reason: CutReason) -> UploadError {
        self.upload.fail(reason, self.guard.as_deref());
        reason.into()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.is_polled, true) {
            // Over HTTP/2 hyper polls a body once in the task that dispatches the requests of its connection, and
            // then in a task of its own. Only the latter may be aborted.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.upload.sent_by(current_task());
        let frame = match this.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(this.framed.poll_frame(cx)),
        };
        // After the frame, because the last frames of a body look finished, too, when the guest is gone.
        if let Some(reason) = this.upload.cut_reason() {
            return Poll::Ready(Some(Err(reason.into())));
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let (Some(guard), Some(data)) = (&this.guard, frame.data_ref()) {
                    guard.passed_on(data.len());
                }
                Some(Ok(frame))
            }
            Some(Err(reason)) => Some(Err(this.fail(reason))),
            None => this.finish().err().map(|reason| Err(reason.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.framed.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.framed.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Its task may serve other requests from now on.
        self.upload.finish().ok();
    }
}

/// A guest's body, checked against its `Content-Length` and its maximum length.
///
/// The last byte of a body with a `Content-Length` is kept back until the guest has finished the body: with that byte
/// the upstream would have a whole request.
struct FramedBody {
    inner: WasiBody,
    /// Bytes that are still expected, if there is a `Content-Length`.
    left: Option<u64>,
    /// Bytes that may still be sent.
    room: usize,
    max: usize,
    /// The last byte of a body with a `Content-Length`; after the end, the trailers too.
    kept: VecDeque<Frame<Bytes>>,
    /// Whether the guest has finished the body.
    is_finished: bool,
}

impl FramedBody {
    fn new(inner: WasiBody) -> Self {
        Self {
            inner,
            left: None,
            room: usize::MAX,
            max: usize::MAX,
            kept: VecDeque::new(),
            is_finished: false,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutReason>>> {
        while !self.is_finished {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data(),
                // The guest has dropped the body.
                Some(Err(_)) => return Poll::Ready(Some(Err(CutReason::Framing))),
                None => {
                    self.is_finished = true;
                    break;
                }
            };
            match frame.map(|data| self.counted(data)) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Err(reason)) => return Poll::Ready(Some(Err(reason))),
                Err(trailers) => {
                    self.kept.push_back(trailers);
                    self.is_finished = true;
                }
            }
        }
        if self.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(CutReason::Framing)));
        }
        Poll::Ready(self.kept.pop_front().map(Ok))
    }

    /// What to send of `data` now.
    fn counted(&mut self, mut data: Bytes) -> Result<Bytes, CutReason> {
        let room = self.room.checked_sub(data.len());
        self.room = room.ok_or(CutReason::TooLarge(self.max))?;
        let Some(left) = self.left else {
            return Ok(data);
        };
        let left = left.checked_sub(data.len() as u64);
        self.left = Some(left.ok_or(CutReason::Framing)?);
        if self.left == Some(0) && !data.is_empty() {
            let last = data.split_off(data.len() - 1);
            self.kept.push_back(Frame::data(last));
        }
        Ok(data)
    }

    fn is_end_stream(&self) -> bool {
        let is_finished = self.is_finished || self.inner.is_end_stream();
        is_finished && self.kept.is_empty() && self.left.is_none_or(|left| left == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use http_body_util::{Full, StreamBody};
    use wasmtime_wasi_http::Error;

    use super::*;
    use crate::flight_context::FlightContext;

    /// The frames of a body of `parts` that its guest finishes, with a `Content-Length` of `length` and at most 5
    /// bytes; `|` stands for trailers.
    async fn framed(length: Option<u64>, parts: &[&'static str]) -> Result<Vec<String>, CutReason> {
        let frames = parts.iter().map(|part| {
            Ok::<_, Error>(match *part {
                "|" => Frame::trailers(HeaderMap::new()),
                part => Frame::data(Bytes::from_static(part.as_bytes())),
            })
        });
        let frames: Vec<_> = frames.collect();
        let inner = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let mut body = FramedBody::new(inner);
        (body.left, body.room, body.max) = (length, 5, 5);
        let mut sent = Vec::new();
        while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
            assert!(!body.is_end_stream() || body.kept.is_empty());
            let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap();
            sent.push(frame?.into_data().map_or("|".to_owned(), text));
        }
        assert!(body.is_end_stream());
        Ok(sent)
    }

    #[tokio::test]
    async fn a_body_has_its_content_length_or_fails() {
        let whole: [(_, &[_], &[_]); 6] = [
            (None, &["ab", "cde"], &["ab", "cde"]),
            (None, &["ab", "|"], &["ab", "|"]),
            (Some(0), &[], &[]),
            // The last byte is sent at the end.
            (Some(5), &["ab", "cde"], &["ab", "cd", "e"]),
            (Some(3), &["ab", "c", ""], &["ab", "c"]),
            (Some(1), &["a", "|"], &["a", "|"]),
        ];
        for (length, parts, sent) in whole {
            let sent = sent.iter().map(ToString::to_string).collect();
            assert_eq!(framed(length, parts).await, Ok(sent), "{parts:?}");
        }
        let broken: [(_, &[_]); 5] = [
            (Some(6), &["ab", "cde"]),
            (Some(4), &["ab", "cde"]),
            (Some(0), &["a"]),
            (Some(1), &[]),
            (Some(2), &["a", "|"]),
        ];
        for (length, parts) in broken {
            let end = framed(length, parts).await;
            assert_eq!(end, Err(CutReason::Framing), "{length:?} {parts:?}");
        }
        for length in [None, Some(6)] {
            let end = framed(length, &["abc", "def"]).await;
            assert_eq!(end, Err(CutReason::TooLarge(5)));
        }
    }

    #[test]
    fn a_body_does_not_end_before_its_content_length() {
        let empty = |length| {
            let inner = Full::<Bytes>::default().map_err(|never| match never {});
            let mut body = RequestBody::new(inner.boxed_unsync(), &mut Uploads::default());
            body.expect(length, 0);
            body.is_end_stream()
        };
        assert!(empty(None) && empty(Some(0)) && !empty(Some(1)));
    }

    // fault 95
    #[tokio::test]
    async fn the_bytes_of_a_body_count_as_time_of_its_guest() {
        let (context, mut uploads) = (FlightContext::default(), Uploads::default());
        let guard = Arc::new(context.begin());
        let inner = Full::from(vec![0; 2_000]).map_err(|never| match never {});
        let mut body = RequestBody::new(inner.boxed_unsync(), &mut uploads);
        body.begin(&guard, Instant::now());
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 2_000);
        assert_eq!(context.cost().guest, Duration::from_micros(1));
    }

    // The guest's end of a body is dropped with its store, and then the body looks finished.
    #[tokio::test]
    async fn a_body_whose_flight_has_ended_fails_though_it_looks_finished() {
        let finished = || {
            let frames = [Ok::<_, Error>(Frame::data(Bytes::from_static(b"a")))];
            StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
        };
        let mut uploads = Uploads::default();
        let whole = RequestBody::new(finished(), &mut uploads).collect().await;
        assert_eq!(whole.unwrap().to_bytes(), "a");
        let cut = RequestBody::new(finished(), &mut uploads);
        drop(uploads);
        assert!(cut.collect().await.is_err());
    }
}
