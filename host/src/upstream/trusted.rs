//! [`TrustedConnector`]: connections to servers that the operator names, such as registries of components. Any address
//! may be dialled. Nothing that a guest or a caller requests goes this way.

use std::error::Error as StdError;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::dial::{BoxError, BoxFuture, Dialer};
use super::failure::{ConnectError, ConnectFailure, causes, chain};
use super::policy::UpstreamPolicy;
use super::proxy::Proxy;
use super::tls::Roots;

/// Opens such connections: directly or through a tunnel of a proxy, by HTTP/1, and with TLS for `https`.
#[derive(Clone, Debug)]
pub(crate) struct TrustedConnector {
    inner: HttpsConnector<Dialer>,
    timeout: Duration,
}

/// Why there is no response.
#[derive(Clone, Debug)]
pub(crate) enum NoResponse {
    /// There is no connection, or it ended.
    Unreachable(String),
    /// The handshake of TLS failed. `is_tls` is false if the server sent something else, or closed the connection.
    Tls { why: String, is_tls: bool },
    /// There was no connection in time.
    TimedOut,
    /// The response is not HTTP.
    Malformed(String),
}

impl TrustedConnector {
    pub(crate) fn new(roots: &Roots, proxy: Option<&Proxy>, timeout: Duration) -> Self {
        let policy = UpstreamPolicy {
            proxy: proxy.cloned(),
            ..UpstreamPolicy::default()
        };
        let dialer = Dialer::to_any(Arc::new(policy), timeout);
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(roots.config(None))
            .https_or_http()
            .enable_http1()
            .wrap_connector(dialer);
        Self { inner, timeout }
    }
}

impl Service<Uri> for TrustedConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.timeout, self.inner.call(uri));
        Box::pin(async {
            let error = match connecting.await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => ConnectError::from_connector(&*error),
                Err(_) => ConnectError::TimedOut,
            };
            let was_retried = false;
            Err(ConnectFailure { error, was_retried }.into())
        })
    }
}

impl NoResponse {
    /// The reason in an error of hyper-util's client over a [`TrustedConnector`].
    pub(crate) fn of(error: &legacy::Error) -> Self {
        for cause in causes(error) {
            if let Some(ConnectFailure { error, .. }) = cause.downcast_ref() {
                return Self::not_connected(error);
            }
            let hyper = cause.downcast_ref::<hyper::Error>();
            if hyper.is_some_and(|hyper| hyper.is_parse() || hyper.is_parse_too_large()) {
                return Self::Malformed(format!("something else than HTTP: {}", chain(error)));
            }
        }
        Self::Unreachable(chain(error as &(dyn StdError + 'static)))
    }

    fn not_connected(error: &ConnectError) -> Self {
        match error {
            ConnectError::Tls { why, is_tls, .. } => Self::Tls {
                why: why.clone(),
                is_tls: *is_tls,
            },
            ConnectError::TimedOut => Self::TimedOut,
            error => Self::Unreachable(error.to_string()),
        }
    }
}
