//! The dashboard: three files and an icon, as they are in `dashboard/`.
//!
//! They load nothing from another address, and must not: the dashboard works without access to other networks, and
//! sends what it shows nowhere.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::body::Body;
use super::response::respond_with;

/// Restricts the page in the browser: it runs no other script, requests nothing from another address, and no other
/// page can embed it.
const SECURITY_HEADERS: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The file at this path, if there is one.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    let (content_type, text) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_str!("dashboard/index.html"),
        ),
        "/dashboard.css" => (
            "text/css; charset=utf-8",
            include_str!("dashboard/dashboard.css"),
        ),
        "/dashboard.js" => (
            "text/javascript; charset=utf-8",
            include_str!("dashboard/dashboard.js"),
        ),
        "/icon.svg" => ("image/svg+xml", include_str!("dashboard/icon.svg")),
        _ => return None,
    };
    let body = Bytes::from_static(text.as_bytes());
    let mut response = respond_with(StatusCode::OK, content_type, body);
    for (name, value) in SECURITY_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    Some(response)
}
