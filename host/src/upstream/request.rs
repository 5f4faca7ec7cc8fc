//! Checks a guest's request, and builds the request that is sent instead.

use http::{HeaderName, HeaderValue, Method, Request, header};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, WasiBody};

use super::allow_rule::Target;
use super::body::LengthCheckedBody;
use super::denial::Denial;
use super::policy::UpstreamPolicy;
use crate::flight_context::RequestGuard;
use crate::observability::trace::TRACEPARENT;

/// The `User-Agent` of a request for which the guest sets none.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("oneflight/", env!("CARGO_PKG_VERSION")));

/// The request to send for `request`, if `policy` allows it and its flight has sent at most `max_requests`.
pub(super) fn permitted(
    request: Request<WasiBody>,
    policy: &UpstreamPolicy,
    max_requests: usize,
    guard: &mut RequestGuard,
) -> Result<Request<LengthCheckedBody>, Denial> {
    if guard.number() > max_requests {
        return Err(Denial::TooManyRequests {
            limit: max_requests,
        });
    }
    if request.method() == Method::CONNECT {
        return Err(Denial::Tunnel);
    }
    let target = Target::of(request.uri())?;
    policy.permit(&target)?;
    guard.allowed(request.method(), &target.host(), target.port());
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned();
    head.uri = target.url(path)?;
    // Servers and their firewalls refuse requests without it, and operators of upstreams want to know who sends them.
    head.headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    if policy.traces(&target) {
        // A guest's own value would belong to another trace than the flight's.
        head.headers.remove("tracestate");
        head.headers.insert(TRACEPARENT, guard.trace().header());
    }
    let length = match head.headers.get(header::CONTENT_LENGTH) {
        Some(length) => {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or(Denial::Framing)?)
        }
        None => None,
    };
    Ok(Request::from_parts(
        head,
        LengthCheckedBody::new(body, length),
    ))
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
