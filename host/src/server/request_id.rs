//! The id of a request: `X-Request-Id`, or else the trace's in `traceparent`. It is the `X-Request-Id` of the response.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::model::RequestId;
use crate::observability::trace::TraceContext;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id that a caller sends, if it sends one. An id that is repeated or malformed is ignored: the request does not
/// depend on it.
pub(super) fn of(headers: &HeaderMap) -> Option<RequestId> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let id = match (ids.next(), ids.next()) {
        (Some(id), None) => id.to_str().ok().and_then(RequestId::new),
        _ => None,
    };
    id.or_else(|| RequestId::new(&TraceContext::extract(headers)?.to_string()))
}

/// Adds the id to the response of its request.
pub(super) fn add<B>(response: &mut Response<B>, id: &RequestId) {
    if let Ok(id) = HeaderValue::try_from(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_one_valid_header_or_else_by_its_trace() {
        let trace = (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
        for (headers, expected) in [
            (&[("x-request-id", "r-1"), trace][..], Some("r-1")),
            (&[trace], Some("4bf92f3577b34da6a3ce929d0e0e4736")),
            (
                &[("x-request-id", "a b"), trace],
                Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            ),
            (&[("x-request-id", "r-1"), ("x-request-id", "r-2")], None),
            (&[("x-request-id", "")], None),
            (&[("traceparent", "00-1-2-01")], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            let id = of(&map);
            assert_eq!(id.as_ref().map(RequestId::as_str), expected, "{headers:?}");
        }
    }
}
