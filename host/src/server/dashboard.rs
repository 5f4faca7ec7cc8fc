//! The page of the administration: three files and a picture, as they lie in `page/`.
//!
//! They load nothing from anywhere else, and may not: the page is of use where there is no other network,
//! and what it shows stays here.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::body::Body;
use super::respond_with;

/// What a browser holds the page to. It runs no script and asks for nothing but at this address, and no
/// other page can have it inside.
const RULES: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The file at this path, if the page has one there.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    let (kind, text) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_str!("dashboard/index.html"),
        ),
        "/page.css" => (
            "text/css; charset=utf-8",
            include_str!("dashboard/page.css"),
        ),
        "/page.js" => (
            "text/javascript; charset=utf-8",
            include_str!("dashboard/page.js"),
        ),
        "/icon.svg" => ("image/svg+xml", include_str!("dashboard/icon.svg")),
        _ => return None,
    };
    let mut response = respond_with(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
    for (name, value) in RULES {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    Some(response)
}
