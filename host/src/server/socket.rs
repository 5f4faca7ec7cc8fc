//! [`ServiceSocket`] and [`SocketStream`]: TCP and Unix sockets, which the server serves alike.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

/// Bytes that the system takes for a connection beyond those that the peer's window has room for, and one packet more,
/// of up to 64 KiB. A larger number would not make a connection faster: whenever half of them are sent, this process is
/// woken to write more.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 16 << 10;

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
            Self::Tcp(listener) => listener.accept().await?.0.into(),
            Self::Unix(listener) => listener.accept().await?.0.into(),
        })
    }
}

/// A connection of a [`ServiceSocket`].
///
/// Its two halves share one descriptor. The one that is read is taken by [`SocketStream::take_error`].
pub(super) enum SocketStream {
    Tcp(Option<tcp::OwnedReadHalf>, tcp::OwnedWriteHalf),
    Unix(Option<unix::OwnedReadHalf>, unix::OwnedWriteHalf),
}

/// Ready when an error of a socket is pending.
pub(super) type SocketError = Pin<Box<dyn Future<Output = ()> + Send>>;

impl From<TcpStream> for SocketStream {
    fn from(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self::Tcp(Some(read), write)
    }
}

impl From<UnixStream> for SocketStream {
    fn from(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self::Unix(Some(read), write)
    }
}

/// Calls a method of the half that is written, whichever it is.
macro_rules! write_half {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            SocketStream::Tcp(_, write) => Pin::new(write).$method($($argument),*),
            SocketStream::Unix(_, write) => Pin::new(write).$method($($argument),*),
        }
    };
}

impl SocketStream {
    /// Sends small responses at once, and leaves what cannot be sent yet of large ones to this process, where it counts:
    /// by default the system takes several megabytes for each connection.
    pub(super) fn prepare(&self) {
        if let Self::Tcp(_, stream) = self {
            let _ = stream.as_ref().set_nodelay(true);
            #[cfg(target_os = "linux")]
            let _ = SockRef::from(stream.as_ref()).set_tcp_notsent_lowat(MAX_UNSENT);
        }
    }

    /// The local address, if it is TCP.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, stream) => stream.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The address of the peer, if it is TCP.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, stream) => stream.peer_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Waits until there is something to read, or the end of the data.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_, stream) => stream.as_ref().readable().await,
            Self::Unix(_, stream) => stream.as_ref().readable().await,
        }
    }

    /// Waits for an error of the socket, beside writing to it. Nothing more can be read: to be called at the end of
    /// the data. `None` if it was called before.
    pub(super) fn take_error(&mut self) -> Option<SocketError> {
        Some(match self {
            Self::Tcp(read, _) => {
                let read = read.take()?;
                Box::pin(async move { drop(read.ready(Interest::ERROR).await) })
            }
            Self::Unix(read, _) => {
                let read = read.take()?;
                Box::pin(async move { drop(read.ready(Interest::ERROR).await) })
            }
        })
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(Some(read), _) => Pin::new(read).poll_read(cx, buffer),
            Self::Unix(Some(read), _) => Pin::new(read).poll_read(cx, buffer),
            Self::Tcp(None, _) | Self::Unix(None, _) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        write_half!(self.get_mut(), poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        write_half!(self.get_mut(), poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        write_half!(self.get_mut(), poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_half!(self.get_mut(), poll_write_vectored(cx, slices))
    }
}
