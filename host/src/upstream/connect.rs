//! [`Connector`]: opens connections to upstreams. They are dialled by the [`Dialer`], and `https` gets a TLS handshake.
//! One timeout covers all steps, and the number of a client's connections is limited.
//!
//! Dialling (several addresses, IPv4 and IPv6 in parallel) and pooling are hyper-util's.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use super::connect_retry::ConnectRetry;
use super::connection::{ConnectionRecord, ConnectionReuse, RequestForm, UpstreamConnection};
use super::dial::{BoxError, BoxFuture, Dialer};
use super::failure::{ConnectError, ConnectFailure};
use super::policy::UpstreamPolicy;
use crate::model::Limits;

/// The maximum number of requests in flight: `limits.max_connections`, clamped to what a semaphore can count.
pub(super) fn max_requests_in_flight(limits: &Limits) -> usize {
    limits.max_connections.clamp(1, Semaphore::MAX_PERMITS / 2)
}

/// Opens a client's connections.
///
/// Invariant: with at most `limits.max_connections` requests in flight, a request never waits for a connection that is
/// idle in the pool. There are twice as many permits. A connection that is opened while more than half of them are in
/// use serves one request and does not return to the pool. So at most half of the permits belong to pooled
/// connections, and the other half suffices for all requests.
///
/// The permits belong to connections and not to requests, because hyper-util may open a connection for one request
/// and give that request another one that has become idle; the new one is then completed in the background and
/// pooled.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pooled: HttpsConnector<Dialer>,
    /// Without HTTP/2, since the pool keeps every HTTP/2 connection.
    single_use: HttpsConnector<Dialer>,
    permits: Arc<Semaphore>,
    max_permits: usize,
    retry: Arc<ConnectRetry>,
    timeout: Duration,
    max_age: Duration,
    /// Whether a connection is used only once the upstream takes requests.
    waits_until_ready: bool,
    policy: Arc<UpstreamPolicy>,
}

impl Connector {
    /// A connector to what `policy` admits. `limits.connect_timeout` covers the wait for a permit, the name lookup,
    /// all attempts to dial, and the TLS handshake.
    pub(super) fn new(policy: Arc<UpstreamPolicy>, limits: &Limits) -> Self {
        let max_permits = max_requests_in_flight(limits) * 2;
        let tls = policy.roots.config(policy.identity.as_ref());
        let dialer = Dialer::new(Arc::clone(&policy), limits.connect_timeout);
        let https = || HttpsConnectorBuilder::new().with_tls_config(tls.clone());
        Self {
            pooled: https()
                .https_or_http()
                .enable_all_versions()
                .wrap_connector(dialer.clone()),
            single_use: https()
                .https_or_http()
                .enable_http1()
                .wrap_connector(dialer),
            permits: Arc::new(Semaphore::new(max_permits)),
            max_permits,
            retry: Arc::new(ConnectRetry::new(limits)),
            timeout: limits.connect_timeout,
            max_age: limits.max_connection_age,
            waits_until_ready: false,
            policy,
        }
    }

    /// The same connector, with the same permits, whose connections are used only once the upstream takes requests.
    pub(super) fn when_ready(&self) -> Self {
        Self {
            waits_until_ready: true,
            ..self.clone()
        }
    }

    /// Records that the upstream of `target` has answered.
    pub(super) fn answered(&self, target: &Uri) {
        self.retry.answered(target);
    }

    /// Connections that are open or being opened.
    pub(super) fn connections(&self) -> usize {
        self.max_permits - self.permits.available_permits()
    }

    async fn connect(mut self, uri: Uri) -> Result<TokioIo<UpstreamConnection>, BoxError> {
        // The semaphore is never closed, so this is never an error.
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let (reuse, connector) = if self.connections() <= self.max_permits / 2 {
            (ConnectionReuse::Pooled, &mut self.pooled)
        } else {
            (ConnectionReuse::Single, &mut self.single_use)
        };
        let form = RequestForm::of(&uri, self.policy.proxy.as_ref());
        let dial = || {
            // The name is looked up again, too: it may have moved.
            let connecting = connector.call(uri.clone());
            async {
                connecting
                    .await
                    .map_err(|error| ConnectError::from_connector(&*error))
            }
        };
        let (inner, was_retried) = self.retry.connect(&uri, dial).await?;
        let record = ConnectionRecord::new(self.max_age, was_retried);
        let connection = UpstreamConnection::new(inner, reuse, form, record, permit);
        Ok(TokioIo::new(if self.waits_until_ready {
            connection.when_ready()
        } else {
            connection
        }))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UpstreamConnection>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.timeout, self.clone().connect(uri));
        Box::pin(async {
            connecting.await.map_err(|_| ConnectFailure {
                error: ConnectError::TimedOut,
                was_retried: false,
            })?
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    // No request uses these connections: the limit counts connections, not requests.
    #[tokio::test]
    async fn connections_are_limited_even_if_no_request_uses_them() {
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
        assert_eq!(connector.connections(), 0);
        let first = connector.call(uri.clone()).await.unwrap();
        let second = connector.call(uri.clone()).await.unwrap();
        assert_eq!(connector.connections(), 2);
        assert_eq!(first.inner().reuse(), ConnectionReuse::Pooled);
        assert_eq!(second.inner().reuse(), ConnectionReuse::Single);
        let mut third = connector.call(uri.clone());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let third = third.await.unwrap();
        assert_eq!(connector.connections(), 2);
        drop((second, third));
        assert_eq!(connector.connections(), 0);
        let pooled = connector.call(uri).await.unwrap();
        assert_eq!(pooled.inner().reuse(), ConnectionReuse::Pooled);
        // Four in all: nothing was dialled while there was no permit.
        for _ in 0..4 {
            listener.accept().await.unwrap();
        }
        let more = poll_fn(|cx| listener.poll_accept(cx)).now_or_never();
        assert!(more.is_none());
    }

    #[tokio::test]
    async fn a_connection_that_is_abandoned_returns_its_permit() {
        let limits = Limits {
            connect_timeout: Duration::from_millis(100),
            ..Limits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // It accepts and sends nothing, so the TLS handshake does not end.
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let mut connector = Connector::new(Arc::default(), &limits);
        let mut abandoned = connector.call(uri.parse().unwrap());
        assert!(abandoned.as_mut().now_or_never().is_none());
        assert_eq!(connector.connections(), 1);
        drop(abandoned);
        assert_eq!(connector.connections(), 0);
        let late = connector.call(uri.parse().unwrap()).await.unwrap_err();
        let late = late.downcast_ref::<ConnectFailure>().unwrap();
        assert!(matches!(late.error, ConnectError::TimedOut), "{late:?}");
        assert_eq!(connector.connections(), 0);
    }
}
