//! [`DetectedProtocol`]: the version of HTTP of a connection, detected from its first bytes; and [`Preface`], whether
//! that of HTTP/2 is complete.

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

/// How every connection of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of the preface of HTTP/2 has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// So many bytes of it.
    Arrived(usize),
    /// None is expected: it is complete, or the connection is HTTP/1.
    Over,
}

impl Preface {
    /// Before the first byte.
    pub(super) fn of(protocol: DetectedProtocol) -> Self {
        match protocol {
            DetectedProtocol::Http1 => Self::Over,
            DetectedProtocol::Either => Self::Arrived(0),
        }
    }

    /// Whether `bytes`, which arrive next, complete it.
    pub(super) fn is_completed_by(&mut self, bytes: &[u8]) -> bool {
        let Self::Arrived(before) = *self else {
            return false;
        };
        let rest = &PREFACE[before..];
        let (bytes, is_complete) = match bytes.get(..rest.len()) {
            Some(bytes) => (bytes, true),
            None => (bytes, false),
        };
        let is_preface = rest.starts_with(bytes);
        *self = if is_preface && !is_complete {
            Self::Arrived(before + bytes.len())
        } else {
            Self::Over
        };
        is_preface && is_complete
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
    fn the_preface_of_http2_is_completed_by_its_last_byte_and_by_no_other_bytes() {
        let mut preface = Preface::of(DetectedProtocol::Either);
        for (n, byte) in PREFACE.iter().enumerate() {
            assert_eq!(preface.is_completed_by(&[*byte]), n == 23, "{n}");
        }
        assert!(!preface.is_completed_by(PREFACE), "a second one");
        let with_frame = [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
        for (protocol, parts, expected) in [
            (DetectedProtocol::Either, [&with_frame[..], b""], true),
            (
                DetectedProtocol::Either,
                with_frame.split_at(10).into(),
                true,
            ),
            (DetectedProtocol::Either, [&with_frame[1..], b""], false),
            (
                DetectedProtocol::Either,
                [b"PRI * HTTP/1.1\r\n\r\n", PREFACE],
                false,
            ),
            (DetectedProtocol::Http1, [PREFACE, b""], false),
        ] {
            let mut preface = Preface::of(protocol);
            let completed = parts.map(|part| preface.is_completed_by(part));
            assert_eq!(completed.contains(&true), expected, "{parts:?}");
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
