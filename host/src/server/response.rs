//! Complete responses by status, content type and body. None of them may be stored by a cache.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::body::Body;

pub(super) fn respond_with(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Bytes::from_static(text.as_bytes());
    respond_with(status, "text/plain; charset=utf-8", body)
}

pub(super) fn json(document: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(document).unwrap_or_default();
    respond_with(StatusCode::OK, "application/json", body.into())
}
