//! [`HttpServer`]: serves one listener's connections, each in its own task.
//!
//! A connection that sends nothing at first is closed after
//! [`ServerLimits::header_timeout`](crate::ServerLimits::header_timeout), and hyper's timer closes an HTTP/1
//! connection whose next request head does not arrive. The [`ActivityMonitor`] detects every other idle connection:
//! one that has sent half of HTTP/2's preface, one of HTTP/2 without requests, and one whose caller does not read its
//! response.

mod activity;
mod builders;
mod detect;
mod rewind;

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use self::activity::ActivityMonitor;
use self::builders::HttpBuilders;
use self::detect::{DetectedProtocol, first_bytes};
use self::rewind::RewindIo;
use super::body::Body;
use super::tls::Tls;
use crate::settings::ServerLimits;

/// Responds to the requests of a listener.
pub(super) trait Handler: Send + Sync + 'static {
    /// Called once for each request, with the local address of its connection. The future is dropped when the
    /// caller is gone.
    ///
    /// The call itself, before the first poll, must not panic: over HTTP/2 that would end all requests of the
    /// connection. The future should drop `head` before it waits: until then hyper cannot reuse the buffer that the
    /// head was read into, and allocates another one.
    fn respond(
        &self,
        head: Parts,
        local: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Body>> + Send + use<Self>;
}

/// What all connections of a listener share.
pub(super) struct HttpServer<H> {
    handler: H,
    limits: ServerLimits,
    tls: Option<Tls>,
    builders: HttpBuilders,
}

impl<H: Handler> HttpServer<H> {
    pub(super) fn new(handler: H, limits: &ServerLimits, tls: Option<Tls>) -> Arc<Self> {
        Arc::new(Self {
            handler,
            limits: limits.clone(),
            tls,
            builders: HttpBuilders::new(limits),
        })
    }

    /// Serves `stream` in its own task. A value sent to `shutdown` starts a graceful shutdown of the connection; if
    /// the sender is dropped, the connection is closed immediately.
    pub(super) fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        shutdown: watch::Receiver<()>,
    ) {
        let _ = stream.set_nodelay(true);
        // Boxed, since the future of an async function stores each argument twice.
        let connection = Box::new(Connection {
            server: Arc::clone(self),
            local: stream.local_addr().ok(),
            activity: Arc::default(),
            _permit: permit,
        });
        // Two task types, so that a task without TLS reserves no memory for TLS.
        match self.tls.as_ref().map(Tls::acceptor) {
            None => drop(tokio::spawn(connection.serve_plaintext(stream, shutdown))),
            Some(tls) => drop(tokio::spawn(connection.serve_tls(tls, stream, shutdown))),
        }
    }
}

/// One caller's connection, owned by its task.
struct Connection<H> {
    server: Arc<HttpServer<H>>,
    local: Option<SocketAddr>,
    activity: Arc<ActivityMonitor>,
    _permit: OwnedSemaphorePermit,
}

impl<H: Handler> Connection<H> {
    async fn serve_plaintext(
        self: Box<Self>,
        mut stream: TcpStream,
        mut shutdown: watch::Receiver<()>,
    ) {
        let mut timer = pin!(sleep(self.server.limits.header_timeout));
        let first = tokio::select! {
            biased;
            first = first_bytes(&mut stream) => first,
            _ = shutdown.changed() => return,
            () = &mut timer => return tracing::debug!("a connection sent nothing within the header timeout"),
        };
        match first {
            Ok(first) if first.is_empty() => {
                tracing::debug!("a connection was closed before it sent anything");
            }
            Ok(first) => {
                let protocol = DetectedProtocol::from_first_bytes(&first);
                self.serve(stream, first, protocol, timer, shutdown).await;
            }
            Err(error) => tracing::debug!(%error, "a connection ended early"),
        }
    }

    async fn serve_tls(
        self: Box<Self>,
        tls: TlsAcceptor,
        stream: TcpStream,
        mut shutdown: watch::Receiver<()>,
    ) {
        let mut timer = pin!(sleep(self.server.limits.header_timeout));
        let handshake = tokio::select! {
            biased;
            handshake = tls.accept(stream) => handshake,
            _ = shutdown.changed() => return,
            () = &mut timer => return tracing::debug!("a TLS handshake did not end within the header timeout"),
        };
        match handshake {
            Ok(stream) => {
                let protocol = DetectedProtocol::from_alpn(stream.get_ref().1.alpn_protocol());
                self.serve(stream, Bytes::new(), protocol, timer, shutdown)
                    .await;
            }
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    /// Serves `io`, of which `first` has been read already; `timer` is used again to check its activity.
    ///
    /// Most connections are HTTP/1 with one request at a time, and their tasks reserve memory for no more: hyper's
    /// builder for both versions allocates a read buffer of twice the size, and its connection is more than twice as
    /// large.
    async fn serve<I>(
        &self,
        io: I,
        first: Bytes,
        protocol: DetectedProtocol,
        timer: Pin<&mut Sleep>,
        shutdown: watch::Receiver<()>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = RewindIo::new(first, io, Arc::clone(&self.activity));
        let service = service_fn(|request| self.respond(request));
        let builders = &self.server.builders;
        match protocol {
            DetectedProtocol::Http1 => {
                let connection = pin!(builders.http1.serve_connection(io, service));
                self.drive(connection, timer, shutdown).await;
            }
            DetectedProtocol::Either => {
                let mut connection = Box::pin(builders.either.serve_connection(io, service));
                self.drive(connection.as_mut(), timer, shutdown).await;
            }
        }
    }

    /// Polls `connection` until it ends, is closed by the shutdown, or has been idle for too long.
    async fn drive(
        &self,
        mut connection: Pin<&mut impl GracefulConnection<Error: Display>>,
        mut timer: Pin<&mut Sleep>,
        mut shutdown: watch::Receiver<()>,
    ) {
        let limits = &self.server.limits;
        timer.as_mut().reset(Instant::now() + limits.header_timeout);
        let mut idle = Duration::ZERO;
        let mut is_finishing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                changed = shutdown.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    is_finishing = true;
                }
                () = &mut timer => {
                    timer.as_mut().reset(Instant::now() + limits.header_timeout);
                    idle = if self.activity.take_idle() {
                        idle + limits.header_timeout
                    } else {
                        Duration::ZERO
                    };
                    if idle >= limits.write_stall_timeout {
                        return;
                    }
                    // A response that is not read yet can still be read, but no further request is accepted.
                    if !idle.is_zero() && !is_finishing {
                        connection.as_mut().graceful_shutdown();
                        is_finishing = true;
                    }
                }
            }
        }
    }

    /// Calls the handler immediately, so that a waiting caller does not keep its request in memory.
    fn respond(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<H> {
        // The body of a request has no meaning here: it is dropped unread, and ends the connection if it has not
        // arrived in full yet.
        let (head, _) = request.into_parts();
        let with_body = head.method != Method::HEAD;
        let response = self.server.handler.respond(head, self.local);
        let in_flight = ActivityMonitor::begin(&self.activity);
        response.map(move |response| {
            drop(in_flight);
            Ok(if with_body {
                response
            } else {
                without_body(response)
            })
        })
    }
}

/// The response to HEAD, where `response` is the response to GET.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_| Body::Whole(Bytes::new()))
}
