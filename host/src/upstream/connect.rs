//! Connections to upstreams: a name is resolved once, what the policy admits is dialled and nothing
//! else, TLS is spoken where the scheme says so, and all that within one time limit.
//!
//! Dialling itself (several addresses, IPv4 beside IPv6) is hyper-util's.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tower_service::Service;

use super::policy::Policy;
use super::{causes, chain};
use crate::client::Denial;

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
        // Only TLS reports a bare I/O error; what the handshake said is inside of that.
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return Self::Tls(match tls {
                Some(rustls::Error::InvalidMessage(_)) => {
                    format!("{error}; if it speaks plain HTTP, ask it with http://")
                }
                Some(rustls::Error::InvalidCertificate(_)) => {
                    format!("{error}; if it is to be trusted, add its root to this system's")
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

/// Makes a client's connections.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector<Resolver>>,
    limit: Duration,
}

impl Connector {
    /// Connections to what `policy` admits, each within `limit`: name lookup, dialling and TLS.
    pub(super) fn new(policy: Arc<Policy>, limit: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver { policy });
        http.enforce_http(false);
        http.set_connect_timeout(Some(limit));
        // Requests are written whole, so waiting to fill a packet would only delay them.
        http.set_nodelay(true);
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(TLS.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self { inner, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Boxed<Self::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async {
            let connected = connecting.await.map_err(|_| ConnectError::TimedOut)?;
            connected.map_err(|error| ConnectError::from_below(&*error).into())
        })
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
            // The port is set by whoever dials.
            let resolved = lookup_host((name.as_str(), 0)).await;
            let resolved = resolved.map_err(|error| ConnectError::Lookup(error.to_string()))?;
            let admitted = policy.admit(name.as_str(), resolved);
            Ok(admitted.map_err(ConnectError::Denied)?.into_iter())
        })
    }
}

/// Certificates are checked against the system's roots, read once. Where a system has none, every
/// https upstream is refused by its handshake; http goes on.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of this system was not read");
    }
    roots.add_parsable_certificates(found.certs);
    // The provider by name: an embedder may have brought another into the same process.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the versions that rustls calls safe")
        .with_root_certificates(roots)
        .with_no_client_auth()
});
