//! Connections to upstreams: resolve once, keep what the policy admits, dial exactly that, speak TLS
//! where the scheme says so, all within one time limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::policy::{Policy, Target};
use crate::client::Denial;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    Denied(Denial),
    Lookup(io::Error),
    Dial(io::Error),
    Tls(BoxError),
    TimedOut,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Lookup(error) => write!(f, "its name was not found: {error}"),
            Self::Dial(error) => write!(f, "it did not accept a connection: {error}"),
            Self::Tls(error) => {
                write!(
                    f,
                    "TLS failed: {error}; if it speaks plain HTTP, ask it with http://"
                )
            }
            Self::TimedOut => f.write_str("connecting took too long"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Makes a client's connections: name lookup, dialling and TLS within `limit`.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    inner: HttpsConnector<Dialer>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(policy: Arc<Policy>, limit: Duration) -> Self {
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(TLS.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer { policy });
        Self { inner, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async {
            let connected = connecting.await.map_err(|_| ConnectError::TimedOut)?;
            connected.map_err(|error| {
                // What the dialer did not say is what the handshake says.
                let error = error
                    .downcast()
                    .map_or_else(ConnectError::Tls, |error| *error);
                error.into()
            })
        })
    }
}

/// Makes TCP connections, to admitted addresses only.
#[derive(Clone, Debug)]
struct Dialer {
    policy: Arc<Policy>,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move { Ok(TokioIo::new(dial(&policy, &uri).await?)) })
    }
}

async fn dial(policy: &Policy, uri: &Uri) -> Result<TcpStream, ConnectError> {
    let target = Target::of(uri).map_err(ConnectError::Denied)?;
    let resolved = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(ConnectError::Lookup)?;
    // The addresses that were checked are the ones that are dialled: the name is not looked up
    // again, so an answer that changes in between changes nothing.
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in policy
        .admit(&target, resolved)
        .map_err(ConnectError::Denied)?
    {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are written whole, so waiting to fill a packet would only delay them.
                stream.set_nodelay(true).map_err(ConnectError::Dial)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Dial(last))
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
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
});
