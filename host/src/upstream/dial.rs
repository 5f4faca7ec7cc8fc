//! [`Dialer`]: opens the connection under TLS, to the upstream itself or through the client's [`Proxy`].
//!
//! Through a proxy, `https` goes through a tunnel (CONNECT), so that the proxy sees the host and the port and nothing
//! else. `http` is sent to the proxy in absolute form, as proxies expect it: many refuse tunnels to other ports than 443.
//!
//! The addresses of upstreams are checked by the resolver of direct connections. A proxy resolves names itself, so there
//! they cannot be checked. The proxy's own address is the operator's choice and is not checked.
//!
//! [`Proxy`]: super::proxy::Proxy

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::failure::ConnectError;
use super::policy::UpstreamPolicy;
use super::proxy::proxy_of;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The connector under that of TLS.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    to_upstream: HttpConnector<PolicyResolver>,
    to_proxy: HttpConnector<PolicyResolver>,
    /// Which addresses are dialled. For the operator, `http` goes through a tunnel of a proxy, too.
    admission: Admission,
    policy: Arc<UpstreamPolicy>,
}

impl Dialer {
    /// For guests: to the addresses that `policy` admits.
    pub(super) fn new(policy: Arc<UpstreamPolicy>, timeout: Duration) -> Self {
        Self::admitting(Admission::Policy, policy, timeout)
    }

    /// For the operator: to any address.
    pub(super) fn to_any(policy: Arc<UpstreamPolicy>, timeout: Duration) -> Self {
        Self::admitting(Admission::All, policy, timeout)
    }

    fn admitting(upstreams: Admission, policy: Arc<UpstreamPolicy>, timeout: Duration) -> Self {
        let connector = |admission| {
            let resolver = PolicyResolver {
                policy: Arc::clone(&policy),
                admission,
            };
            let mut http = HttpConnector::new_with_resolver(resolver);
            http.enforce_http(false);
            http.set_connect_timeout(Some(timeout));
            // Requests are written in one piece, so waiting to fill a packet would only delay them.
            http.set_nodelay(true);
            http
        };
        Self {
            to_upstream: connector(upstreams),
            to_proxy: connector(Admission::All),
            admission: upstreams,
            policy,
        }
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = proxy_of(self.policy.proxy.as_ref(), &uri) else {
            let dialling = self.to_upstream.call(uri);
            return Box::pin(async { Ok(dialling.await?) });
        };
        let dialling = self.to_proxy.call(proxy.uri().clone());
        let is_tunnelled = uri.scheme() == Some(&Scheme::HTTPS) || self.admission == Admission::All;
        Box::pin(async move {
            let stream = dialling
                .await
                .map_err(|error| ConnectError::from_connector(&error).of_proxy())?;
            if is_tunnelled {
                Ok(tunnel(stream, &uri, &proxy).await?)
            } else {
                Ok(stream)
            }
        })
    }
}

/// A tunnel through `proxy` to the host and port of `uri`.
async fn tunnel(
    stream: TokioIo<TcpStream>,
    uri: &Uri,
    proxy: &Intercept,
) -> Result<TokioIo<TcpStream>, ConnectError> {
    let failed = |error: hyper::Error| ConnectError::no_tunnel(&error);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
    let request = connect(uri, proxy)?;
    let response = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(ConnectError::ProxyStatus(status)),
        }
    };
    // It ends when the proxy has opened the tunnel. A refusal ends the attempt without its body.
    let connection = async { connection.without_shutdown().await.map_err(failed) };
    let ((), parts) = tokio::try_join!(response, connection)?;
    // The server of TLS does not speak first.
    if parts.read_buf.is_empty() {
        Ok(parts.io)
    } else {
        let why = "no tunnel: expected nothing from the upstream before the handshake, got data";
        Err(ConnectError::Proxy {
            why: why.to_owned(),
            is_transient: false,
        })
    }
}

fn connect(uri: &Uri, proxy: &Intercept) -> Result<Request<Empty<Bytes>>, ConnectError> {
    let host = uri.host().unwrap_or_default();
    let default = if uri.scheme() == Some(&Scheme::HTTP) {
        80
    } else {
        443
    };
    let authority = format!("{host}:{}", uri.port_u16().unwrap_or(default));
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&authority)
        .header(header::HOST, &authority);
    if let Some(credentials) = proxy.basic_auth() {
        request = request.header(header::PROXY_AUTHORIZATION, HeaderValue::clone(credentials));
    }
    let request = request.body(Empty::new());
    request.map_err(|error| ConnectError::Proxy {
        why: format!("no tunnel: {error}"),
        is_transient: false,
    })
}

/// Resolves a name, once for each connection, to the addresses that may be dialled. Literal addresses in a URL are not
/// resolved: an allow rule that names one admits it.
///
/// Exactly the addresses that were checked are dialled. The name is not looked up again, so a DNS answer that changes
/// in between has no effect (DNS rebinding).
#[derive(Clone, Debug)]
struct PolicyResolver {
    policy: Arc<UpstreamPolicy>,
    admission: Admission,
}

/// Which addresses of a name may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// Those that the policy admits: for upstreams.
    Policy,
    /// All: for proxies and registries, which only the operator can name.
    All,
}

impl Service<Name> for PolicyResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = BoxFuture<Self::Response, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { policy, admission } = self.clone();
        Box::pin(async move {
            let resolved = policy.resolver.resolve(name.as_str()).await;
            let resolved = resolved.map_err(|error| ConnectError::Lookup(error.to_string()))?;
            if resolved.is_empty() {
                return Err(ConnectError::Lookup("the name has no address".to_owned()));
            }
            let admitted = match admission {
                Admission::Policy => policy.admit(name.as_str(), resolved),
                Admission::All => Ok(resolved),
            };
            let admitted = admitted.map_err(ConnectError::Denied)?;
            // The connector sets the port.
            let addresses = admitted.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}
