//! [`ServiceSocket`] and [`SocketStream`]: TCP and Unix sockets, which the server serves alike.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A socket that a service listens on.
#[derive(Debug)]
pub enum ServiceSocket {
    /// At an IP address and a port.
    Tcp(TcpListener),
    /// At a path. Who may connect depends on the permissions of the file.
    Unix(UnixListener),
}

impl From<TcpListener> for ServiceSocket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for ServiceSocket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl ServiceSocket {
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    pub(super) async fn accept(&self) -> io::Result<SocketStream> {
        Ok(match self {
            Self::Tcp(listener) => SocketStream::Tcp(listener.accept().await?.0),
            Self::Unix(listener) => SocketStream::Unix(listener.accept().await?.0),
        })
    }
}

/// A connection of a [`ServiceSocket`].
pub(super) enum SocketStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls a method of the stream, whichever it is.
macro_rules! either {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            SocketStream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            SocketStream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl SocketStream {
    /// Sends small responses at once.
    pub(super) fn send_at_once(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }

    /// The local address, if it is TCP.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The address of the peer, if it is TCP.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Waits until there is something to read, or the end of the data.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), poll_read(cx, buffer))
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), poll_write_vectored(cx, slices))
    }
}
