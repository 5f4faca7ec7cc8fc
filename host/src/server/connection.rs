//! [`HttpServer`]: serves one listener's connections, each in its own task.
//!
//! Its [`ConnectionActivity`] states how long a connection may do what it does now: send a request head, not read its
//! response, or be idle. hyper has one timer for two of these, the time for a head and the time between requests, so
//! it has none here. An idle connection is closed when its time has passed, when its place is needed, or at the
//! shutdown.

mod builders;
mod detect;
mod half_close;
mod io;
mod streams;

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tracing::field::display;

use self::detect::{DetectedProtocol, first_bytes};
use self::half_close::HalfClosable;
use self::io::ConnectionIo;
use self::streams::Streams;
use super::activity::{ConnectionActivity, ConnectionPhase};
use super::body::Body;
use super::open_connections::{ConnectionUse, OpenConnection};
use super::proxy_protocol::{ProxyHeaderError, read_proxy_header};
use super::socket::SocketStream;
use super::tls::Tls;
use crate::settings::ServerLimits;
use crate::unread::{ConnectionBudget, UnreadBudget};

const WRITE_TIMEOUT: &str = "write_timeout";

/// Responds to the requests of a listener.
pub(super) trait Handler: Send + Sync + 'static {
    /// Called once for each request, with what is known of its connection. The future is dropped when the caller is
    /// gone.
    ///
    /// The call itself, before the first poll, must not panic: over HTTP/2 that would end all requests of the
    /// connection. The future should drop `head` before it waits: until then hyper cannot reuse the buffer that the
    /// head was read into, and allocates another one. A `body` that is dropped unread ends the connection if it has not
    /// arrived in full yet.
    fn respond(
        &self,
        head: Parts,
        body: Incoming,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<Body>> + Send + use<Self>;
}

/// What a handler may know of a request's connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionInfo {
    /// The local address, if it is TCP.
    pub(super) local: Option<SocketAddr>,
    /// The caller's address, if it is TCP: that of the peer, or what a proxy states.
    pub(super) caller: Option<SocketAddr>,
    pub(super) permitted: ConnectionUse,
    /// What may be held for it.
    pub(super) budget: Arc<ConnectionBudget>,
}

/// What all connections of a listener share.
pub(super) struct HttpServer<H> {
    handler: H,
    limits: ServerLimits,
    tls: Option<Tls>,
    /// Peers that send a header of the PROXY protocol.
    proxies: Vec<IpNet>,
    http1: http1::Builder,
    /// What may be held for the callers of all connections.
    budget: Arc<UnreadBudget>,
}

impl<H: Handler> HttpServer<H> {
    pub(super) fn new(
        handler: H,
        limits: &ServerLimits,
        tls: Option<Tls>,
        proxies: Vec<IpNet>,
        budget: Arc<UnreadBudget>,
    ) -> Arc<Self> {
        Arc::new(Self {
            handler,
            limits: limits.clone(),
            tls,
            proxies,
            http1: builders::http1(limits),
            budget,
        })
    }

    /// Serves `stream` in its own task. A value sent to `shutdown` starts a graceful shutdown of the connection; if
    /// the sender is dropped, the connection is closed immediately.
    pub(super) fn spawn(
        self: &Arc<Self>,
        stream: SocketStream,
        open: OpenConnection,
        shutdown: watch::Receiver<()>,
    ) {
        stream.prepare();
        // Boxed, since the future of an async function stores each argument twice.
        let connection = Box::new(Connection {
            server: Arc::clone(self),
            info: ConnectionInfo {
                local: stream.local(),
                caller: stream.peer(),
                permitted: open.permitted,
                budget: self.budget.connection(),
            },
            open,
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
    info: ConnectionInfo,
    open: OpenConnection,
}

impl<H: Handler> Connection<H> {
    async fn serve_plaintext(
        mut self: Box<Self>,
        mut stream: SocketStream,
        mut shutdown: watch::Receiver<()>,
    ) {
        let mut timer = pin!(sleep(self.server.limits.header_timeout));
        if self.is_from_proxy() {
            let read = Box::pin(self.read_caller(&mut stream, timer.as_mut(), &mut shutdown));
            if read.await.is_none() {
                return;
            }
        }
        let read = first_bytes(&mut stream);
        let Some(first) = self
            .before_timeout(read, timer.as_mut(), &mut shutdown)
            .await
        else {
            return;
        };
        match first {
            Ok(first) if first.is_empty() => {
                tracing::debug!("a connection was closed before it sent anything");
            }
            Ok(first) => {
                self.open.activity.record_read();
                let protocol = DetectedProtocol::from_first_bytes(&first);
                self.serve(stream, first, protocol, timer, shutdown).await;
            }
            Err(error) => tracing::debug!(%error, "a connection ended early"),
        }
    }

    async fn serve_tls(
        mut self: Box<Self>,
        tls: TlsAcceptor,
        mut stream: SocketStream,
        mut shutdown: watch::Receiver<()>,
    ) {
        let mut timer = pin!(sleep(self.server.limits.header_timeout));
        if self.is_from_proxy() {
            let read = Box::pin(self.read_caller(&mut stream, timer.as_mut(), &mut shutdown));
            if read.await.is_none() {
                return;
            }
        }
        let activity = &self.open.activity;
        // Until its first byte arrives, a connection can be closed for another one, and needs no memory for TLS.
        let readable = self.before_timeout(stream.readable(), timer.as_mut(), &mut shutdown);
        if !matches!(readable.await, Some(Ok(()))) {
            return;
        }
        activity.record_read();
        let handshake = tls.accept(stream);
        let Some(handshake) = self
            .before_timeout(handshake, timer.as_mut(), &mut shutdown)
            .await
        else {
            return;
        };
        match handshake {
            Ok(stream) => {
                activity.record_handshake();
                let protocol = DetectedProtocol::from_alpn(stream.get_ref().1.alpn_protocol());
                self.serve(stream, Bytes::new(), protocol, timer, shutdown)
                    .await;
            }
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    fn is_from_proxy(&self) -> bool {
        let (proxies, peer) = (&self.server.proxies, self.info.caller);
        let peer = peer.map(|peer| peer.ip().to_canonical());
        !proxies.is_empty()
            && peer.is_some_and(|peer| proxies.iter().any(|net| net.contains(&peer)))
    }

    /// Reads the caller's address from the header that the proxy sends first. `None` if the connection is to be closed.
    async fn read_caller(
        &mut self,
        stream: &mut SocketStream,
        timer: Pin<&mut Sleep>,
        shutdown: &mut watch::Receiver<()>,
    ) -> Option<()> {
        let read = read_proxy_header(stream);
        match self.before_timeout(read, timer, shutdown).await? {
            Ok(caller) => {
                self.info.caller = caller.or(self.info.caller);
                return Some(());
            }
            // As a proxy does to check whether the service listens.
            Err(error @ ProxyHeaderError::Ended(_)) => {
                tracing::debug!(
                    "closed a connection: expected a header of the PROXY protocol, {error}"
                );
            }
            Err(error) => {
                let peer = self.info.caller.map(display);
                tracing::warn!(
                    peer,
                    "closed a connection: expected a header of the PROXY protocol, {error}"
                );
            }
        }
        None
    }

    /// The output of `future`, unless the connection is to be closed before it is ready.
    async fn before_timeout<T>(
        &self,
        future: impl Future<Output = T>,
        timer: Pin<&mut Sleep>,
        shutdown: &mut watch::Receiver<()>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            _ = shutdown.changed() => None,
            _ = self.open.activity.changed() => None,
            () = timer => {
                self.log_timeout(self.open.activity.phase(), "header_timeout");
                None
            }
        }
    }

    /// Serves `io`, of which `first` has been read already; `timer` is used again.
    ///
    /// Most connections are HTTP/1 with one request at a time, and their tasks reserve memory for no more: hyper's
    /// builder for both versions allocates a read buffer of twice the size, and its connection is more than twice as
    /// large.
    async fn serve<I: HalfClosable>(
        &self,
        io: I,
        first: Bytes,
        protocol: DetectedProtocol,
        timer: Pin<&mut Sleep>,
        shutdown: watch::Receiver<()>,
    ) {
        let io = ConnectionIo::new(first, io, protocol, Arc::clone(&self.open.activity));
        let io = TokioIo::new(io);
        match protocol {
            DetectedProtocol::Http1 => {
                let service = service_fn(|request| self.respond(request, None));
                let connection = pin!(self.server.http1.serve_connection(io, service));
                self.drive(connection, timer, shutdown).await;
            }
            DetectedProtocol::Either => {
                let limits = &self.server.limits;
                let streams = Streams::new(&self.open.activity, limits);
                let service = service_fn(|request| self.respond(request, Some(&streams)));
                let builder = builders::either(limits, streams.clone());
                let mut connection = Box::pin(builder.serve_connection(io, service));
                self.drive(connection.as_mut(), timer, shutdown).await;
            }
        }
    }

    /// Polls `connection` until it ends, or has to be closed.
    async fn drive(
        &self,
        mut connection: Pin<
            &mut impl GracefulConnection<Error: Into<Box<dyn Error + Send + Sync>>>,
        >,
        mut timer: Pin<&mut Sleep>,
        mut shutdown: watch::Receiver<()>,
    ) {
        let activity = &self.open.activity;
        // When the graceful shutdown of the connection began.
        let mut closing = None;
        loop {
            let is_closing = tokio::select! {
                // First everything that has arrived is read: the other branches depend on it.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        self.log_error(&*error.into());
                    }
                    return;
                }
                changed = shutdown.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
                is_closing = activity.changed() => is_closing,
                (phase, setting) = poll_fn(|cx| self.poll_timeout(timer.as_mut(), closing, cx)) => {
                    self.log_timeout(phase, setting);
                    // Over HTTP/2 the caller confirms that it sends no further request.
                    let is_idle = matches!(phase, ConnectionPhase::Idle { .. });
                    if !is_idle || setting == WRITE_TIMEOUT || closing.is_some() {
                        return;
                    }
                    true
                }
            };
            if is_closing && closing.is_none() {
                connection.as_mut().graceful_shutdown();
                closing = Some(Instant::now());
            }
        }
    }

    /// Ready when the time of the connection's phase has passed, or that of the answer that is unread for the longest
    /// time; an idle connection that is being closed has as much time as for a request head.
    fn poll_timeout(
        &self,
        mut timer: Pin<&mut Sleep>,
        closing: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<(ConnectionPhase, &'static str)> {
        let (activity, limits) = (&self.open.activity, &self.server.limits);
        let phase = activity.phase();
        let of_phase = match (phase, closing) {
            (ConnectionPhase::Idle { .. }, Some(closing)) => {
                Some((closing + limits.header_timeout, "header_timeout"))
            }
            _ => phase
                .timeout(limits)
                .map(|(since, timeout, setting)| (activity.at(since) + timeout, setting)),
        };
        let of_answer = self.info.budget.oldest().map(|since| {
            // A stream is reset alone if that helps.
            let time_to_reset = if activity.is_http2() {
                limits.write_stall_timeout
            } else {
                Duration::ZERO
            };
            (since + limits.write_timeout + time_to_reset, WRITE_TIMEOUT)
        });
        let first = of_phase.into_iter().chain(of_answer);
        let Some((deadline, setting)) = first.min_by_key(|(deadline, _)| *deadline) else {
            return Poll::Pending;
        };
        // The timer is only ever set to an earlier time here, and to a later one when it is ready: that costs nothing
        // while requests follow each other.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready((phase, setting));
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Calls the handler immediately, so that a waiting caller does not keep its request in memory.
    fn respond(
        &self,
        request: Request<Incoming>,
        streams: Option<&Streams>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<H> {
        let (head, body) = request.into_parts();
        let with_body = head.method != Method::HEAD;
        let version = head.version;
        let is_http2 = version == Version::HTTP_2;
        let streams = streams.filter(|_| is_http2);
        let progress = streams.map(Streams::open);
        let waiting = ConnectionActivity::begin(&self.open.activity, version);
        let counted = self.info.budget.begin();
        let response = self.server.handler.respond(head, body, self.info.clone());
        // The next probe needs the connection.
        let is_last = self.info.permitted == ConnectionUse::Probes;
        if is_last {
            self.open.activity.close();
        }
        response.map(move |response| {
            drop(counted);
            let mut response = if with_body {
                response
            } else {
                without_body(response)
            };
            // RFC 9110, section 15.5.9: the rest of the body may still arrive.
            let is_last = is_last || response.status() == StatusCode::REQUEST_TIMEOUT;
            if is_last && !is_http2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            // hyper reads a whole body of HTTP/1 in the poll in which it gets the response.
            Ok(match (progress, response.body()) {
                (Some(_), body) if body.is_end_stream() => response,
                (Some(progress), _) => response.map(|body| {
                    let body = progress.body(body, waiting.into_response());
                    Body::Stream(body.boxed_unsync())
                }),
                (None, Body::Whole(_)) => response,
                (None, Body::Stream(_)) => {
                    response.map(|body| body.guarded_by(waiting.into_response()))
                }
            })
        })
    }

    /// Logs why hyper has ended the connection. At level debug: any caller can cause it.
    fn log_error(&self, error: &(dyn Error + Send + Sync + 'static)) {
        let caller = self.info.caller.map(display);
        let hyper = error.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            tracing::debug!(
                caller,
                "a request head is larger than max_header_bytes or has more lines than max_headers"
            );
        } else {
            tracing::debug!(caller, %error, "a connection ended early");
        }
    }

    /// Logs that the time of this phase has passed. At level debug: any caller can cause it.
    fn log_timeout(&self, phase: ConnectionPhase, setting: &'static str) {
        let what = match phase {
            ConnectionPhase::Silent { .. } => "a connection without a request is closed",
            ConnectionPhase::Head { .. } => {
                "a connection with an incomplete handshake, preface or request head is closed"
            }
            ConnectionPhase::Writing { .. } => {
                "a connection whose caller does not read its response is closed"
            }
            _ if setting == WRITE_TIMEOUT => {
                "a connection whose caller reads its response too slowly is closed"
            }
            ConnectionPhase::Waiting | ConnectionPhase::Idle { .. } => {
                "an idle connection is closed"
            }
        };
        let caller = self.info.caller.map(display);
        tracing::debug!(caller, "{what}: {setting} has passed");
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
