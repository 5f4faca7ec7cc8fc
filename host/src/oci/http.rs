//! [`Http`]: requests to a registry and to where it redirects, within limits of time and size.

use std::time::Duration;

use ::http::uri::{Authority, Scheme};
use ::http::{HeaderValue, Request, Response, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::error::OciProblem;
use super::reference::{RegistryHost, is_loopback};
use crate::upstream::{NoResponse, Proxy, Roots, TrustedConnector};

/// As many redirections are followed as by docker.
const MAX_REDIRECTS: usize = 10;

/// How one pull or push sends its requests.
pub(super) struct Http {
    client: Client<TrustedConnector, Full<Bytes>>,
    response_timeout: Duration,
    plain_http: Vec<RegistryHost>,
}

/// A scheme, host and port. Credentials are sent only to the one that they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl Http {
    pub(super) fn new(
        roots: &Roots,
        proxy: Option<&Proxy>,
        response_timeout: Duration,
        plain_http: &[RegistryHost],
    ) -> Self {
        let connector = TrustedConnector::new(roots, proxy, response_timeout);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            response_timeout,
            plain_http: plain_http.to_vec(),
        }
    }

    /// The time for a response, and between two pieces of it.
    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Sends one request, and follows no redirection.
    pub(super) async fn send(
        &self,
        mut request: Request<Bytes>,
        time: Duration,
    ) -> Result<Response<Incoming>, OciProblem> {
        let agent = concat!("oneflight/", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_static(agent);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let sent = timeout(time, self.client.request(request.map(Full::new))).await;
        let response = sent.map_err(|_| self.timed_out("a response"))?;
        response.map_err(|error| match NoResponse::of(&error) {
            NoResponse::Tls { why, .. } => OciProblem::Tls(why),
            NoResponse::Unreachable(why) => OciProblem::Unreachable(why),
            NoResponse::TimedOut => self.timed_out("a connection"),
            NoResponse::Malformed(why) => OciProblem::Malformed(why),
        })
    }

    /// Whether a server at `origin` speaks TLS, as far as a request without credentials shows. Only for this machine.
    pub(super) async fn is_plain(&self, origin: &Origin) -> bool {
        let probe = Request::head(origin.url("/v2/")).body(Full::default());
        let Ok(probe) = probe else {
            return false;
        };
        let sent = timeout(self.response_timeout, self.client.request(probe)).await;
        match sent {
            Ok(Err(error)) => matches!(
                NoResponse::of(&error),
                NoResponse::Tls { is_tls: false, .. }
            ),
            _ => false,
        }
    }

    /// Sends a GET, and follows its redirections. `authorization` is for `home` alone.
    pub(super) async fn get(
        &self,
        home: &Origin,
        path: &str,
        accept: &'static str,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, OciProblem> {
        let mut url = home.url(path);
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(&url).header(header::ACCEPT, accept);
            if let Some(authorization) = authorization.filter(|_| home.is_of(&url)) {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let request = request.body(Bytes::new());
            let request = request
                .map_err(|_| OciProblem::Redirect("a location that is no URL".to_owned()))?;
            let response = self.send(request, self.response_timeout).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            url = self.location(&response, &url)?;
        }
        Err(OciProblem::Redirect(format!(
            "more than {MAX_REDIRECTS} redirections"
        )))
    }

    /// Where a response to a request for `url` redirects to, or has its upload.
    pub(super) fn location(
        &self,
        response: &Response<Incoming>,
        url: &Uri,
    ) -> Result<Uri, OciProblem> {
        let refused = |why: &str| OciProblem::Redirect(why.to_owned());
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| refused("none: there is no Location"))?;
        let base = Origin::of(url).ok_or_else(|| refused("a location without a base"))?;
        let target = if location.starts_with('/') && !location.starts_with("//") {
            format!("{}://{}{location}", base.scheme, base.authority)
        } else {
            location.to_owned()
        };
        let target: Uri = target
            .parse()
            .map_err(|_| refused("a location that is no URL"))?;
        let origin =
            Origin::of(&target).ok_or_else(|| refused("a location that is no URL of HTTP"))?;
        // What came over TLS does not continue in clear text.
        if origin.is_https() || (!base.is_https() && self.may_be_plain(&origin)) {
            Ok(target)
        } else {
            Err(refused("a location of plain HTTP"))
        }
    }

    /// Whether plain HTTP is permitted for a host: this machine, and what the settings list.
    pub(super) fn may_be_plain(&self, origin: &Origin) -> bool {
        let authority = origin.authority.as_str();
        is_loopback(origin.authority.host())
            || self
                .plain_http
                .iter()
                .any(|host| host.authority().eq_ignore_ascii_case(authority))
    }

    /// Reads a body of at most `limit` bytes, each piece of which arrives within the timeout.
    pub(super) async fn read(
        &self,
        response: Response<Incoming>,
        what: &'static str,
        limit: u64,
    ) -> Result<Vec<u8>, OciProblem> {
        let too_large = OciProblem::TooLarge { what, limit };
        let mut body = response.into_body();
        // What a length announces is not read, and a length that lies does not matter.
        if hyper::body::Body::size_hint(&body).lower() > limit {
            return Err(too_large);
        }
        let mut bytes = Vec::new();
        loop {
            let frame = timeout(self.response_timeout, body.frame()).await;
            let frame = frame.map_err(|_| self.timed_out("more of the response"))?;
            match frame {
                None => return Ok(bytes),
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if (bytes.len() + data.len()) as u64 > limit {
                        return Err(too_large);
                    }
                    bytes.extend_from_slice(&data);
                }
                Some(Err(error)) => {
                    return Err(OciProblem::Unreachable(format!(
                        "the response broke off: {error}"
                    )));
                }
            }
        }
    }

    fn timed_out(&self, what: &'static str) -> OciProblem {
        let setting = "response_timeout";
        OciProblem::TimedOut { what, setting }
    }
}

impl Origin {
    pub(super) fn new(scheme: Scheme, registry: &RegistryHost) -> Option<Self> {
        let authority = registry.authority().parse().ok()?;
        Some(Self { scheme, authority })
    }

    pub(super) fn of(url: &Uri) -> Option<Self> {
        let (scheme, authority) = url.scheme().cloned().zip(url.authority().cloned())?;
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        (is_http && !authority.as_str().contains('@')).then_some(Self { scheme, authority })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Whether `url` has the same scheme, host and port.
    pub(super) fn is_of(&self, url: &Uri) -> bool {
        let port = |origin: &Self| {
            let default = if origin.is_https() { 443 } else { 80 };
            origin.authority.port_u16().unwrap_or(default)
        };
        Self::of(url).is_some_and(|other| {
            self.scheme == other.scheme
                && self
                    .authority
                    .host()
                    .eq_ignore_ascii_case(other.authority.host())
                && port(self) == port(&other)
        })
    }

    /// The URL of a path that a reference can have: it needs no encoding.
    pub(super) fn url(&self, path: &str) -> Uri {
        let url = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build();
        url.unwrap_or_default()
    }
}
