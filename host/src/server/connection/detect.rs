//! [`DetectedProtocol`]: the version of HTTP that a connection speaks, as far as its start tells.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read at most to detect the protocol: the size of hyper's first read.
const MAX_FIRST_BYTES: usize = 8 << 10;

/// What is known of a connection's version of HTTP.
#[derive(Clone, Copy)]
pub(super) enum DetectedProtocol {
    Http1,
    /// HTTP/2, or too little was read to exclude it.
    Either,
}

impl DetectedProtocol {
    /// By the first bytes. A request of HTTP/1 differs from HTTP/2's preface in its first three bytes, of which
    /// fewer may have arrived.
    pub(super) fn from_first_bytes(first: &[u8]) -> Self {
        if b"PRI".starts_with(&first[..first.len().min(3)]) {
            Self::Either
        } else {
            Self::Http1
        }
    }

    /// By what a TLS handshake negotiated, if it did (ALPN).
    pub(super) fn from_alpn(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(b"http/1.1") => Self::Http1,
            _ => Self::Either,
        }
    }
}

/// The first bytes of a connection, most often a whole request; empty at its end.
pub(super) async fn first_bytes(stream: &mut TcpStream) -> io::Result<Bytes> {
    poll_fn(|cx| {
        // Not kept between polls: a connection that sends nothing holds no buffer.
        let mut buffer = [MaybeUninit::uninit(); MAX_FIRST_BYTES];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    })
    .await
}
