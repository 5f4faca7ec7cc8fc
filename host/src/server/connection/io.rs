//! [`ConnectionIo`]: a stream whose first bytes, which were read to detect the protocol, are read again. It records
//! reads, writes and the preface of HTTP/2 in the connection's [`ConnectionActivity`], and lets a caller that has sent the end of its data
//! read its response (see [`half_close`](super::half_close)).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::detect::{DetectedProtocol, Preface};
use super::half_close::{HalfClosable, HalfClosed};
use crate::server::activity::ConnectionActivity;

pub(super) struct ConnectionIo<I> {
    /// What is read before `io`.
    first: Bytes,
    io: I,
    preface: Preface,
    activity: Arc<ConnectionActivity>,
    /// Set when the caller has sent the end of its data before its response was written. In a box, because it is rare.
    half_closed: Option<Box<HalfClosed>>,
}

impl<I> ConnectionIo<I> {
    pub(super) fn new(
        first: Bytes,
        io: I,
        protocol: DetectedProtocol,
        activity: Arc<ConnectionActivity>,
    ) -> Self {
        let mut preface = Preface::of(protocol);
        if preface.is_completed_by(&first) {
            activity.record_http2_preface();
        }
        Self {
            first,
            io,
            preface,
            activity,
            half_closed: None,
        }
    }
}

impl<I: HalfClosable> AsyncRead for ConnectionIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            let length = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if let Some(half_closed) = &mut this.half_closed {
            return half_closed
                .poll_gone(&mut this.io, &this.activity, cx)
                .map(Err);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.activity.record_read();
            if this.preface.is_completed_by(&buffer.filled()[before..]) {
                this.activity.record_http2_preface();
            }
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 || !this.activity.is_http1_busy() {
            return Poll::Ready(Ok(()));
        }
        let Some(half_closed) = HalfClosed::new(&mut this.io) else {
            return Poll::Ready(Ok(()));
        };
        // The response that the caller waits for or reads is the last one.
        this.activity.close();
        let half_closed = this.half_closed.insert(Box::new(half_closed));
        half_closed
            .poll_gone(&mut this.io, &this.activity, cx)
            .map(Err)
    }
}

impl<I: HalfClosable> AsyncWrite for ConnectionIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.half_closed {
            None => Pin::new(&mut this.io).poll_write(cx, bytes),
            Some(half_closed) => half_closed.poll_write(&mut this.io, cx, bytes),
        };
        this.activity.record_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.activity.record_flush(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.half_closed.is_some() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| slice));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.activity.record_write(&written);
        written
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::server::activity::ConnectionPhase;

    const HTTP1: DetectedProtocol = DetectedProtocol::Http1;

    fn activity() -> Arc<ConnectionActivity> {
        ConnectionActivity::new(Instant::now())
    }

    #[tokio::test]
    async fn the_first_bytes_are_read_again_in_parts_and_then_the_rest() {
        let (mut caller, io) = duplex(64);
        caller.write_all(b"rest").await.unwrap();
        drop(caller);
        let mut io = ConnectionIo::new(Bytes::from_static(b"first "), io, HTTP1, activity());
        let mut part = [0; 2];
        io.read_exact(&mut part).await.unwrap();
        assert_eq!(&part, b"fi");
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "rst rest");
    }

    #[tokio::test]
    async fn reads_and_writes_are_recorded() {
        let (mut caller, io) = duplex(8);
        let activity = activity();
        let mut io = ConnectionIo::new(Bytes::new(), io, HTTP1, Arc::clone(&activity));
        caller.write_all(b"request").await.unwrap();
        assert!(matches!(activity.phase(), ConnectionPhase::Silent { .. }));
        io.read_exact(&mut [0; 7]).await.unwrap();
        assert!(matches!(activity.phase(), ConnectionPhase::Head { .. }));
        drop(ConnectionActivity::begin(&activity, Version::HTTP_11));
        let written = io.write_vectored(&[IoSlice::new(b"response")]).await;
        assert_eq!(written.unwrap(), 8);
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
        assert!(futures_util::poll!(Box::pin(io.write_all(b"more"))).is_pending());
        assert!(matches!(activity.phase(), ConnectionPhase::Writing { .. }));
        caller.read_exact(&mut [0; 8]).await.unwrap();
        io.write_all(b"more").await.unwrap();
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
    }

    #[tokio::test]
    async fn the_preface_of_http2_is_recorded_whether_it_is_read_before_or_in_parts() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for first in [0, 3, 24] {
            let (mut caller, io) = duplex(64);
            let activity = activity();
            let (first, rest) = preface.split_at(first);
            let first = Bytes::from_static(first);
            let either = DetectedProtocol::Either;
            let mut io = ConnectionIo::new(first, io, either, Arc::clone(&activity));
            let is_idle = || matches!(activity.phase(), ConnectionPhase::Idle { .. });
            assert_eq!(is_idle(), rest.is_empty());
            caller.write_all(rest).await.unwrap();
            io.read_exact(&mut [0; 23]).await.unwrap();
            assert_eq!(is_idle(), rest.is_empty());
            io.read_exact(&mut [0; 1]).await.unwrap();
            assert!(is_idle());
        }
    }
}
