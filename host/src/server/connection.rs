//! [`Connection`]: one caller's connection, from its acceptance to its end.
//!
//! Who says nothing at first is given [`ServerLimits::head_time`](crate::ServerLimits::head_time), and hyper's
//! timer ends an HTTP/1 connection whose next head does not come. All other ways of holding one for nothing are
//! seen by its [`ActivityMonitor`]: half of HTTP/2's preface, HTTP/2 without requests, and not reading the answer.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::listener::{Audience, Listener};
use super::tls::Tls;
use super::{admin_api, public_api};
use crate::client::Execute;

/// Bytes that are read at most to see what is spoken: as many as hyper reads at first.
const MOST_SAID: usize = 8 << 10;

/// A connection's own, shared by its requests.
pub(super) struct Connection<C> {
    door: Arc<Listener<C>>,
    /// Where it came in.
    local: Option<SocketAddr>,
    pulse: ActivityMonitor,
    _permit: OwnedSemaphorePermit,
}

impl<C: Execute> Connection<C> {
    /// Serves `stream` in a task of its own, until `finish` says to end it or has no sender any more.
    pub(super) fn spawn(
        door: &Arc<Listener<C>>,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        finish: watch::Receiver<()>,
    ) {
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Self {
            door: Arc::clone(door),
            local: stream.local_addr().ok(),
            pulse: ActivityMonitor::default(),
            _permit: permit,
        });
        // Tasks of two kinds, so that the one without TLS has no room for it.
        match door.tls.as_ref().map(Tls::acceptor) {
            None => drop(tokio::spawn(connection.serve_clear(stream, finish))),
            Some(tls) => drop(tokio::spawn(connection.serve_tls(tls, stream, finish))),
        }
    }

    async fn serve_clear(self: Arc<Self>, mut stream: TcpStream, mut finish: watch::Receiver<()>) {
        let mut look = pin!(sleep(self.door.limits.header_timeout));
        let said = tokio::select! {
            biased;
            said = said_first(&mut stream) => said,
            _ = finish.changed() => return,
            () = &mut look => return tracing::debug!("a connection said nothing"),
        };
        match said {
            Ok(said) if said.is_empty() => {
                tracing::debug!("a connection was closed before it said anything");
            }
            Ok(said) => {
                let version = DetectedProtocol::begun(&said);
                self.serve(stream, said, version, look, finish).await;
            }
            Err(error) => tracing::debug!(%error, "a connection ended early"),
        }
    }

    async fn serve_tls(
        self: Arc<Self>,
        tls: TlsAcceptor,
        stream: TcpStream,
        mut finish: watch::Receiver<()>,
    ) {
        let mut look = pin!(sleep(self.door.limits.header_timeout));
        let shaken = tokio::select! {
            biased;
            shaken = tls.accept(stream) => shaken,
            _ = finish.changed() => return,
            () = &mut look => return tracing::debug!("a TLS handshake took too long"),
        };
        match shaken {
            Ok(stream) => {
                let version = DetectedProtocol::agreed(stream.get_ref().1.alpn_protocol());
                self.serve(stream, Bytes::new(), version, look, finish)
                    .await;
            }
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    /// Serves `io`, of which `said` has been read, and with `look` looks at its pulse.
    ///
    /// Most connections are HTTP/1, and wait for one answer at a time. Those have room for no more: what
    /// finds out the version by itself has hyper take a buffer of twice the size, and is more than twice as
    /// large.
    async fn serve<I>(
        self: Arc<Self>,
        io: I,
        said: Bytes,
        version: DetectedProtocol,
        look: Pin<&mut Sleep>,
        finish: watch::Receiver<()>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = Observed {
            said,
            io: TokioIo::new(io),
            connection: Arc::clone(&self),
        };
        let service = service_fn(|request| Arc::clone(&self).respond(request));
        match version {
            DetectedProtocol::Http1 => {
                let connection = pin!(self.door.http1.serve_connection(io, service));
                self.until_its_end(connection, look, finish).await;
            }
            DetectedProtocol::Either => {
                let mut connection = Box::pin(self.door.either.serve_connection(io, service));
                self.until_its_end(connection.as_mut(), look, finish).await;
            }
        }
    }

    async fn until_its_end(
        &self,
        mut connection: Pin<&mut impl GracefulConnection<Error: Display>>,
        mut look: Pin<&mut Sleep>,
        mut finish: watch::Receiver<()>,
    ) {
        let limits = &self.door.limits;
        look.as_mut().reset(Instant::now() + limits.header_timeout);
        let mut quiet = Duration::ZERO;
        let mut finishing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                told = finish.changed() => {
                    if told.is_err() {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    finishing = true;
                }
                () = &mut look => {
                    look.as_mut().reset(Instant::now() + limits.header_timeout);
                    quiet = if self.pulse.is_quiet() {
                        quiet + limits.header_timeout
                    } else {
                        Duration::ZERO
                    };
                    if quiet >= limits.write_stall_timeout {
                        return;
                    }
                    // An answer that is not read yet may still be, when nothing new is begun.
                    if !quiet.is_zero() && !finishing {
                        connection.as_mut().graceful_shutdown();
                        finishing = true;
                    }
                }
            }
        }
    }

    /// Reads what is asked at once: a caller who waits holds nothing of the request. It must not panic before it
    /// returns, which over HTTP/2 would end all requests of the connection.
    fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<C> {
        // No request has a meaning for its body: it is dropped unread, and the connection with it where
        // it has not all come yet.
        let (head, _) = request.into_parts();
        let with_body = head.method != Method::HEAD;
        let door = &self.door;
        let response = match door.audience {
            Audience::Callers => {
                Either::Left(public_api::respond(&door.clients, &door.limits, head))
            }
            Audience::Admin => {
                let (door, local) = (Arc::clone(door), self.local);
                let response = async move { admin_api::respond(&door, local, &head).await };
                Either::Right(Box::pin(response))
            }
        };
        let answering = InFlightGuard::new(self);
        response.map(move |response| {
            drop(answering);
            Ok(if with_body {
                response
            } else {
                without_body(response)
            })
        })
    }
}

/// What a caller is known to speak.
#[derive(Clone, Copy)]
enum DetectedProtocol {
    Http1,
    Either,
}

impl DetectedProtocol {
    /// By what was said first. A request of HTTP/1 differs from HTTP/2's preface in its first three bytes, of
    /// which there may be fewer yet.
    fn begun(said: &[u8]) -> Self {
        if b"PRI".starts_with(&said[..said.len().min(3)]) {
            Self::Either
        } else {
            Self::Http1
        }
    }

    /// By what was agreed upon in a TLS handshake, if anything was.
    fn agreed(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(b"http/1.1") => Self::Http1,
            _ => Self::Either,
        }
    }
}

/// What comes first over a connection, most often a whole request; nothing where that is its end.
async fn said_first(stream: &mut TcpStream) -> io::Result<Bytes> {
    poll_fn(|cx| {
        // Not kept while it waits: a connection that says nothing holds no room for it.
        let mut room = [MaybeUninit::uninit(); MOST_SAID];
        let mut said = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut said))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(said.filled())))
    })
    .await
}

/// The answer to HEAD, where `response` is the answer to GET.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_| Body::Whole(Bytes::new()))
}

/// Whether anything goes on over a connection.
#[derive(Default)]
struct ActivityMonitor {
    /// Requests that are being answered: up when one begins, down when its response does.
    answering: AtomicUsize,
    /// Set when a request begins or something is written, taken back when somebody looks.
    stirred: AtomicBool,
}

impl ActivityMonitor {
    /// Whether nothing has gone on since this was last asked.
    fn is_quiet(&self) -> bool {
        !self.stirred.swap(false, Ordering::Relaxed) && self.answering.load(Ordering::Relaxed) == 0
    }

    fn written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stirred.store(true, Ordering::Relaxed);
        }
        written
    }
}

/// A request that is being answered, for as long as this lives.
struct InFlightGuard<C>(Arc<Connection<C>>);

impl<C> InFlightGuard<C> {
    fn new(connection: Arc<Connection<C>>) -> Self {
        let pulse = &connection.pulse;
        pulse.stirred.store(true, Ordering::Relaxed);
        pulse.answering.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }
}

impl<C> Drop for InFlightGuard<C> {
    fn drop(&mut self) {
        self.0.pulse.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives back what was read of it already, and tells the pulse of its connection what is written.
struct Observed<I, C> {
    said: Bytes,
    io: TokioIo<I>,
    connection: Arc<Connection<C>>,
}

impl<I: AsyncRead + Unpin, C> Read for Observed<I, C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.said.is_empty() {
            let length = self.said.len().min(buffer.remaining());
            buffer.put_slice(&self.said.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin, C> Write for Observed<I, C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.connection.pulse.written(written)
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
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.connection.pulse.written(written)
    }
}
