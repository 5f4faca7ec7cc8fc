//! [`HalfClosed`]: whether a caller that has sent the end of its data has left, or still reads.
//!
//! A caller may close one direction of its connection after its request, and then read the response. Another one
//! closes both, and should leave its flight at once. TCP shows the same of both: a FIN. The difference shows only when
//! something is sent: the system of a caller that has left answers with a reset.
//!
//! So the first bytes of the response are sent as soon as the end of the data is read. They are the same for every
//! response, and a caller that reads gets the response that it would have got otherwise. If a reset arrives, the
//! connection ends. While a response is being written, nothing has to be sent for that.
//!
//! Only for HTTP/1: the end of the data ends an HTTP/2 connection. Not for TLS 1.2: RFC 5246, section 7.2.1 demands
//! that both directions are closed together.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::server::activity::ConnectionActivity;
use crate::server::socket::{SocketError, SocketStream};

/// How every response of HTTP/1 begins.
const RESPONSE_START: &[u8] = b"HTTP/1.";

/// A connection whose peer may close one direction alone.
pub(super) trait HalfClosable: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Ready when an error of the socket is pending. `None` if the protocol does not permit to close one direction
    /// alone. To be called at the end of the data.
    fn failed(&mut self) -> Option<SocketError>;
}

impl HalfClosable for SocketStream {
    fn failed(&mut self) -> Option<SocketError> {
        // Not a second descriptor: callers would take more than they may.
        self.take_error()
    }
}

impl<I: HalfClosable> HalfClosable for TlsStream<I> {
    fn failed(&mut self) -> Option<SocketError> {
        let (io, tls) = self.get_mut();
        match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => io.failed(),
            _ => None,
        }
    }
}

#[cfg(test)]
impl HalfClosable for tokio::io::DuplexStream {
    fn failed(&mut self) -> Option<SocketError> {
        None
    }
}

/// What is known of a caller that has sent the end of its data before its response was written.
pub(super) struct HalfClosed {
    /// How much of [`RESPONSE_START`] was sent.
    sent: usize,
    /// How much of it is not part of the response yet.
    ahead: usize,
    failed: SocketError,
}

impl HalfClosed {
    /// `None` if the end of the data ends the connection.
    pub(super) fn new(io: &mut impl HalfClosable) -> Option<Self> {
        Some(Self {
            sent: 0,
            ahead: 0,
            failed: io.failed()?,
        })
    }

    /// Ready when the caller has left. Never reports the end of the data, with which hyper would end the request:
    /// the connection ends with the response.
    pub(super) fn poll_gone(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        activity: &ConnectionActivity,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        while self.sent < RESPONSE_START.len() && activity.is_http1_waiting() {
            let rest = &RESPONSE_START[self.sent..];
            match Pin::new(&mut *io).poll_write(cx, rest) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.sent += written;
                    self.ahead += written;
                }
                Poll::Ready(Ok(_)) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = Pin::new(&mut *io).poll_flush(cx) {
            return Poll::Ready(error);
        }
        ready!(self.failed.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::ConnectionReset.into())
    }

    /// Writes `bytes` of a response, without what was sent before.
    pub(super) fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (before, rest) = bytes.split_at(self.ahead.min(bytes.len()));
        let start = self.sent - self.ahead;
        debug_assert!(RESPONSE_START[start..].starts_with(before));
        let written = if rest.is_empty() && !before.is_empty() {
            0
        } else {
            ready!(Pin::new(io).poll_write(cx, rest))?
        };
        self.ahead -= before.len();
        Poll::Ready(Ok(before.len() + written))
    }
}
