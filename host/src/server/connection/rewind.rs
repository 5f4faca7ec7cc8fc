//! [`RewindIo`]: a stream whose first bytes, which were read to detect the protocol, are read again. It also
//! reports writes to the connection's [`ActivityMonitor`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::ActivityMonitor;

pub(super) struct RewindIo<I> {
    /// What is read before `io`.
    first: Bytes,
    io: TokioIo<I>,
    activity: Arc<ActivityMonitor>,
}

impl<I> RewindIo<I> {
    pub(super) fn new(first: Bytes, io: I, activity: Arc<ActivityMonitor>) -> Self {
        let io = TokioIo::new(io);
        Self {
            first,
            io,
            activity,
        }
    }
}

impl<I: AsyncRead + Unpin> Read for RewindIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> Write for RewindIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.activity.record_write(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
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
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.activity.record_write(written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_are_read_again_in_parts_and_then_the_rest() {
        let (mut caller, io) = duplex(64);
        caller.write_all(b"rest").await.unwrap();
        drop(caller);
        let io = RewindIo::new(Bytes::from_static(b"first "), io, Arc::default());
        let mut io = TokioIo::new(io);
        let mut part = [0; 2];
        io.read_exact(&mut part).await.unwrap();
        assert_eq!(&part, b"fi");
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "rst rest");
    }

    #[tokio::test]
    async fn writes_are_activity_and_reads_are_not() {
        let (mut caller, io) = duplex(64);
        caller.write_all(b"request").await.unwrap();
        let activity = Arc::<ActivityMonitor>::default();
        let io = RewindIo::new(Bytes::new(), io, Arc::clone(&activity));
        let mut io = TokioIo::new(io);
        io.read_exact(&mut [0; 7]).await.unwrap();
        assert!(activity.take_idle());
        io.write_all(b"response").await.unwrap();
        assert!(!activity.take_idle());
        let written = io.write_vectored(&[IoSlice::new(b"more")]).await;
        assert_eq!(written.unwrap(), 4);
        assert!(!activity.take_idle());
    }
}
