//! Checks a guest's request, and builds the request that is sent instead.

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

use super::allow_rule::Target;
use super::cut::CutReason;
use super::denial::Denial;
use super::policy::UpstreamPolicy;
use super::proxy::proxy_of;
use super::request_body::RequestBody;
use crate::flight_context::RequestGuard;
use crate::model::Limits;
use crate::observability::trace::TRACEPARENT;

/// The `User-Agent` of a request for which the guest sets none.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("oneflight/", env!("CARGO_PKG_VERSION")));

/// The request to send for `request`, if `policy` and `limits` allow it.
pub(super) fn permitted(
    request: Request<RequestBody>,
    policy: &UpstreamPolicy,
    limits: &Limits,
    guard: &RequestGuard,
) -> Result<Request<RequestBody>, Denial> {
    if guard.number() > limits.max_requests {
        return Err(Denial::TooManyRequests {
            limit: limits.max_requests,
        });
    }
    if request.method() == Method::CONNECT {
        return Err(Denial::Tunnel);
    }
    let target = Target::of(request.uri())?;
    policy.permit(&target)?;
    guard.allowed(request.method(), &target.host(), target.port());
    let (mut head, mut body) = request.into_parts();
    let path = head.uri.path_and_query().cloned();
    head.uri = target.url(path)?;
    // Servers and their firewalls refuse requests without it, and operators of upstreams want to know who sends them.
    head.headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    if policy.traces(&target) {
        // A guest's own value would belong to another trace than the flight's.
        head.headers.remove("tracestate");
        head.headers.insert(TRACEPARENT, guard.trace().header());
    }
    // Over TLS, only the tunnel's request has it.
    if head.uri.scheme() == Some(&Scheme::HTTP)
        && let Some(proxy) = proxy_of(policy.proxy.as_ref(), &head.uri)
        && let Some(credentials) = proxy.basic_auth()
    {
        let credentials = credentials.clone();
        head.headers
            .insert(header::PROXY_AUTHORIZATION, credentials);
    }
    let length = match head.headers.get(header::CONTENT_LENGTH) {
        Some(length) => {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or(Denial::Framing)?)
        }
        None => None,
    };
    let limit = limits.max_request_body_bytes;
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Denial::BodyTooLarge { limit });
    }
    body.expect(length, limit);
    Ok(Request::from_parts(head, body))
}

/// Waits until the header section of `request` may be sent. If it is a whole request by itself, the guest must have
/// finished the body first.
pub(super) async fn ready(request: &mut Request<RequestBody>) -> Result<(), CutReason> {
    let announced = request.headers().get(header::CONTENT_LENGTH).cloned();
    let is_whole = match &announced {
        Some(length) => length.as_bytes().iter().all(|digit| *digit == b'0'),
        // hyper sends no body with these over HTTP/1.1, unless there is a header that announces it.
        None => matches!(*request.method(), Method::GET | Method::HEAD),
    };
    if is_whole && request.body_mut().has_frames().await? && announced.is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request
            .headers_mut()
            .insert(header::TRANSFER_ENCODING, chunked);
    }
    Ok(())
}

/// Checks the form of a request's URL. No policy allows another one, and the reason is the same.
pub(crate) fn check_url(url: &Uri) -> Result<(), String> {
    match Target::of(url) {
        Ok(_) => Ok(()),
        Err(denial) => Err(denial.to_string()),
    }
}

/// Whether a guest may not set the header `name`.
///
/// RFC 9110, section 7.6.1: connection-specific fields are for the immediate connection, which is the host's.
/// `Content-Length` is not among them: a guest may set it, and its body is checked against it.
pub(crate) fn is_forbidden_header(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 4] = [header::TE, header::TRAILER, header::EXPECT, header::VIA];
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || OURS.contains(name)
        || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_connections_and_proxies_are_forbidden_and_no_others() {
        for name in [
            "connection",
            "keep-alive",
            "host",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "expect",
            "via",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "proxy-status",
        ] {
            assert!(
                is_forbidden_header(&HeaderName::from_static(name)),
                "{name}"
            );
        }
        for name in [
            "authorization",
            "content-length",
            "accept",
            "traceparent",
            "proxied",
        ] {
            assert!(
                !is_forbidden_header(&HeaderName::from_static(name)),
                "{name}"
            );
        }
    }
}
