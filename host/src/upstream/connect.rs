//! Connections to upstreams: a name is resolved once, what the policy admits is dialled and nothing
//! else, TLS is spoken where the scheme says so, and all that within one time limit, for no more
//! connections than a client may have.
//!
//! Dialling itself (several addresses, IPv4 beside IPv6) is hyper-util's, and so is the pool.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower_service::Service;

use super::denial::Denial;
use super::policy::Policy;
use super::{causes, chain};
use crate::model::Limits;

type BoxError = Box<dyn Error + Send + Sync>;
type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) enum ConnectError {
    Denied(Denial),
    Lookup(String),
    Dial(String),
    Tls(String),
    TimedOut,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Lookup(why) => write!(f, "its name was not found: {why}"),
            Self::Dial(why) => write!(f, "it did not accept a connection: {why}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::TimedOut => f.write_str("connecting took too long"),
        }
    }
}

impl Error for ConnectError {}

impl ConnectError {
    /// What went wrong, from what the connectors below report.
    fn from_below(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        // Only TLS reports a bare I/O error; what the handshake said is inside of that, or deeper.
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let innermost = std::iter::successors(Some(error), |error| {
                error.get_ref()?.downcast_ref::<io::Error>()
            });
            let tls = innermost
                .last()
                .and_then(io::Error::get_ref)
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return Self::Tls(match tls {
                Some(rustls::Error::InvalidMessage(_)) => {
                    format!("{error}; if it speaks plain HTTP, ask it with http://")
                }
                Some(rustls::Error::InvalidCertificate(_)) => {
                    format!("{error}; if it is to be trusted, give its root with --ca-file")
                }
                _ => error.to_string(),
            });
        }
        for cause in causes(error) {
            if let Some(named) = cause.downcast_ref::<Self>() {
                return named.clone();
            }
            // The last of several addresses had its share of the time.
            let io = cause.downcast_ref::<io::Error>();
            if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return Self::TimedOut;
            }
        }
        Self::Dial(chain(error))
    }
}

/// Requests under way at once: `limits.connections`, as far as they can be counted.
pub(super) fn most_requests(limits: &Limits) -> usize {
    limits.max_connections.clamp(1, Semaphore::MAX_PERMITS / 2)
}

/// Makes a client's connections.
///
/// Invariant: with `limits.connections` requests under way at most, a request never waits for a
/// connection that somebody keeps idle. There are twice as many permits; a connection that is made
/// while more than half of them are given out is for one request and is not kept. So what is kept is
/// half at most, and what is in use is the other half.
///
/// The permits are here and not with the requests, because a connection is not always its request's: one
/// that lost against another that came free is completed in the background, and kept.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    kept: HttpsConnector<HttpConnector<Resolver>>,
    /// Without HTTP/2, of which the pool keeps every connection.
    for_one: HttpsConnector<HttpConnector<Resolver>>,
    permits: Arc<Semaphore>,
    most: usize,
    limit: Duration,
}

impl Connector {
    /// Connections to what `policy` admits, each within `limits.connect`: its permit, name lookup,
    /// dialling and TLS.
    pub(super) fn new(policy: Arc<Policy>, limits: &Limits) -> Self {
        let most = most_requests(limits) * 2;
        let tls = policy.roots.config();
        let mut http = HttpConnector::new_with_resolver(Resolver { policy });
        http.enforce_http(false);
        http.set_connect_timeout(Some(limits.connect_timeout));
        // Requests are written whole, so waiting to fill a packet would only delay them.
        http.set_nodelay(true);
        let https = || HttpsConnectorBuilder::new().with_tls_config(tls.clone());
        Self {
            kept: https()
                .https_or_http()
                .enable_all_versions()
                .wrap_connector(http.clone()),
            for_one: https().https_or_http().enable_http1().wrap_connector(http),
            permits: Arc::new(Semaphore::new(most)),
            most,
            limit: limits.connect_timeout,
        }
    }

    /// Connections that are open or being made.
    pub(super) fn open(&self) -> usize {
        self.most - self.permits.available_permits()
    }

    async fn connect(mut self, uri: Uri) -> Result<Stream, BoxError> {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let keep = self.open() <= self.most / 2;
        let connector = if keep {
            &mut self.kept
        } else {
            &mut self.for_one
        };
        let inner = connector.call(uri).await;
        Ok(Stream {
            inner: inner.map_err(|error| ConnectError::from_below(&*error))?,
            keep,
            _permit: permit,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Boxed<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.clone().connect(uri));
        Box::pin(async { connecting.await.map_err(|_| ConnectError::TimedOut)? })
    }
}

/// A connection, with its permit.
#[derive(Debug)]
pub(super) struct Stream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
    keep: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = self.inner.connected();
        if !self.keep {
            connected.poison();
        }
        connected
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }
}

/// Resolves names, once for a connection, to the addresses that the policy admits. Literal addresses
/// are no names: they do not come here, and whoever allowed one knew what it is.
///
/// The addresses that were checked are the ones that are dialled: the name is not looked up again, so
/// an answer that changes in between changes nothing.
#[derive(Clone, Debug)]
struct Resolver {
    policy: Arc<Policy>,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = Boxed<Self::Response, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let resolved = policy.resolver.resolve(name.as_str()).await;
            let resolved = resolved.map_err(|error| ConnectError::Lookup(error.to_string()))?;
            if resolved.is_empty() {
                return Err(ConnectError::Lookup("it has no address".to_owned()));
            }
            let admitted = policy.admit(name.as_str(), resolved);
            let admitted = admitted.map_err(ConnectError::Denied)?;
            // The port is set by whoever dials.
            let addresses = admitted.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Whoever makes a connection and whether it uses it in the end: here nobody uses any.
    #[tokio::test]
    async fn connections_are_capped_whoever_makes_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let limits = Limits {
            max_connections: 1,
            connect_timeout: Duration::from_secs(3_600),
            ..Limits::default()
        };
        let mut connector = Connector::new(Arc::default(), &limits);
        assert_eq!(connector.open(), 0);
        let first = connector.call(uri.clone()).await.unwrap();
        let second = connector.call(uri.clone()).await.unwrap();
        assert_eq!(connector.open(), 2);
        assert!(first.keep && !second.keep);
        let mut third = connector.call(uri.clone());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let third = third.await.unwrap();
        assert_eq!(connector.open(), 2);
        drop((second, third));
        assert_eq!(connector.open(), 0);
        assert!(connector.call(uri).await.unwrap().keep);
        // Three, and one more: nothing was dialled while there was no permit.
        for _ in 0..4 {
            listener.accept().await.unwrap();
        }
        let more = poll_fn(|cx| listener.poll_accept(cx)).now_or_never();
        assert!(more.is_none());
    }

    #[tokio::test]
    async fn a_connection_that_is_given_up_gives_its_permit_back() {
        let limits = Limits {
            connect_timeout: Duration::from_millis(100),
            ..Limits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // It accepts and says nothing, which in TLS is no connection.
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let mut connector = Connector::new(Arc::default(), &limits);
        let mut given_up = connector.call(uri.parse().unwrap());
        assert!(given_up.as_mut().now_or_never().is_none());
        assert_eq!(connector.open(), 1);
        drop(given_up);
        assert_eq!(connector.open(), 0);
        let late = connector.call(uri.parse().unwrap()).await.unwrap_err();
        let late = late.downcast_ref::<ConnectError>();
        assert!(matches!(late, Some(ConnectError::TimedOut)), "{late:?}");
        assert_eq!(connector.open(), 0);
    }
}
