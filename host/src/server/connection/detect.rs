//! [`DetectedProtocol`]: the version of HTTP of a connection, detected from its first bytes.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::server::socket::SocketStream;

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
pub(super) async fn first_bytes(stream: &mut SocketStream) -> io::Result<Bytes> {
    poll_fn(|cx| {
        // Not kept between polls: a connection that sends nothing holds no buffer.
        let mut buffer = [MaybeUninit::uninit(); MAX_FIRST_BYTES];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_bytes_tell_http1_from_the_preface_of_http2() {
        let is_http1 = |first: &str| {
            let protocol = DetectedProtocol::from_first_bytes(first.as_bytes());
            matches!(protocol, DetectedProtocol::Http1)
        };
        for first in ["GET / HTTP/1.1\r\n", "POST", "PUT", "PRO", "G", "PA"] {
            assert!(is_http1(first), "{first}");
        }
        for first in ["PRI * HTTP/2.0\r\n", "PRI", "PR", "P"] {
            assert!(!is_http1(first), "{first}");
        }
    }

    #[test]
    fn only_a_negotiated_http1_excludes_http2() {
        let http1 = DetectedProtocol::from_alpn(Some(b"http/1.1"));
        assert!(matches!(http1, DetectedProtocol::Http1));
        for protocol in [None, Some(&b"h2"[..])] {
            let either = DetectedProtocol::from_alpn(protocol);
            assert!(matches!(either, DetectedProtocol::Either));
        }
    }
}
