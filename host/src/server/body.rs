//! [`Body`]: the body of every response.

use std::convert::Infallible;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The body of a response. Every connection reserves memory for one, so it is no larger than a complete body.
pub(super) enum Body {
    /// A complete body; empty once it is written.
    Whole(Bytes),
    /// A body that is produced while it is read.
    Stream(UnsyncBoxBody<Bytes, Infallible>),
}

impl Body {
    /// The same body, which drops `guard` when it has been read to its end or is dropped.
    pub(super) fn guarded_by(self, guard: impl Send + 'static) -> Self {
        let guarded = Guarded {
            body: self,
            guard: Some(guard),
        };
        Self::Stream(guarded.boxed_unsync())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(take(bytes))))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// A body that owns a guard until its end.
struct Guarded<G> {
    body: Body,
    guard: Option<G>,
}

// The guard is never pinned.
impl<G> Unpin for Guarded<G> {}

impl<G> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.guard = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::Full;

    use super::*;

    #[test]
    fn it_is_no_larger_than_a_body_that_is_always_complete() {
        assert_eq!(size_of::<Body>(), size_of::<Full<Bytes>>());
    }

    #[tokio::test]
    async fn a_complete_body_is_one_frame_and_then_at_its_end() {
        let mut body = Body::Whole(Bytes::from_static(b"abc"));
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(3));
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_guard_is_dropped_at_the_end_of_its_body() {
        let guard = Arc::new(());
        for bytes in ["", "abc"] {
            let body = Body::Whole(Bytes::from_static(bytes.as_bytes()));
            let mut body = body.guarded_by(Arc::clone(&guard));
            assert_eq!(Arc::strong_count(&guard), 2);
            assert_eq!(body.is_end_stream(), bytes.is_empty());
            let frame = body.frame().await;
            assert_eq!(frame.is_some(), !bytes.is_empty());
            assert!(body.is_end_stream());
            // The frame was the last one, so hyper may read no further.
            assert_eq!(Arc::strong_count(&guard), 1);
        }
    }
}
