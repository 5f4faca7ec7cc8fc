//! From the request of a guest to one that can be sent, or why it is not valid.
//!
//! What is not valid here was never meant to be sent, so it is an error of its own and no denial: a URL with characters
//! that must be percent-encoded most likely contains a key that was not.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Empty, Full};
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpHooks};

use crate::component::contract::fetch::{FetchBody, FetchRequest};
use crate::component::host_memory::MAX_FIELDS;
use crate::printable::bounded;
use crate::upstream;

/// What `request` takes, in bytes.
pub(super) fn size(request: &FetchRequest) -> usize {
    let headers = super::response::size_of_headers(&request.headers);
    let body = match &request.body {
        Some(FetchBody::Text(text)) => text.len(),
        Some(FetchBody::Bytes(bytes)) => bytes.len(),
        None => 0,
    };
    request.method.len() + request.url.len() + headers + body
}

/// The request to send, or why there is none: a text without values that the guest has set, which may be secrets, but for
/// the names of methods and header fields. `hooks` say which fields a guest may set.
pub(super) fn to_http(
    request: FetchRequest,
    hooks: &mut dyn WasiHttpHooks,
) -> Result<Request<WasiBody>, String> {
    let method = method(&request.method)?;
    let uri = url(request.url)?;
    let mut headers = headers(request.headers, hooks)?;
    let (body, length) = match request.body {
        Some(FetchBody::Text(text)) => full(text.into_bytes()),
        Some(FetchBody::Bytes(bytes)) => full(bytes),
        None => (empty(), 0),
    };
    // RFC 9110, section 8.6: where a method expects content, its absence is stated, too.
    let states_length = length > 0 || matches!(method, Method::POST | Method::PUT | Method::PATCH);
    if states_length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut http = Request::new(body);
    (*http.method_mut(), *http.uri_mut(), *http.headers_mut()) = (method, uri, headers);
    Ok(http)
}

fn full(bytes: Vec<u8>) -> (WasiBody, usize) {
    let length = bytes.len();
    if length == 0 {
        return (empty(), 0);
    }
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    (body.boxed_unsync(), length)
}

fn empty() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// RFC 9110, section 9.1: methods are case-sensitive. One in lower case is a mistake.
fn method(text: &str) -> Result<Method, String> {
    const IN_UPPER_CASE: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    let meant = IN_UPPER_CASE
        .iter()
        .find(|method| method.as_str() != text && method.as_str().eq_ignore_ascii_case(text));
    if let Some(meant) = meant {
        return Err(format!(
            "expected the method {meant} in upper case, got {text}"
        ));
    }
    let invalid = |_| {
        format!(
            "expected a method such as GET, got {}",
            bounded(format_args!("{text:?}"))
        )
    };
    Method::from_bytes(text.as_bytes()).map_err(invalid)
}

/// The URL of a request. `http::Uri` would drop a fragment, and accepts characters that RFC 3986 does not.
fn url(text: String) -> Result<Uri, String> {
    let expected = |what: &str| format!("expected a URL http[s]://host[:port]/path {what}");
    if text.contains('#') {
        return Err(expected(
            "without a fragment, got one with #; percent-encode # as %23",
        ));
    }
    if let Some(invalid) = text.chars().find(|char| !is_of_urls(*char)) {
        let code = u32::from(invalid);
        return Err(expected(&format!(
            "of the characters that RFC 3986 permits, got U+{code:04X}; percent-encode it, and whatever else is part of a \
             key"
        )));
    }
    if !is_percent_encoded(text.as_bytes()) {
        return Err(expected(
            "with two hexadecimal digits after each %, got others; percent-encode % as %25",
        ));
    }
    let uri = Uri::try_from(text)
        .map_err(|error| expected(&format!("that is valid, got another: {error}")))?;
    upstream::check_url(&uri)?;
    if uri.path().split('/').any(is_dot_segment) {
        return Err(expected(
            "without the segments . and .., which servers resolve to another path, got one of them; refuse such a key",
        ));
    }
    Ok(uri)
}

/// RFC 3986, section 2: unreserved and reserved characters, and the percent sign.
fn is_of_urls(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(char)
}

/// RFC 3986, section 2.1: two hexadecimal digits follow each percent sign.
fn is_percent_encoded(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

/// RFC 3986, section 5.2.4, and the same in percent-encoding, which is equivalent by section 6.2.2.2.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(&*decoded, "." | "..")
}

fn headers(
    headers: Vec<(String, String)>,
    hooks: &mut dyn WasiHttpHooks,
) -> Result<HeaderMap, String> {
    let mut fields = FieldMap::new_mutable(MAX_FIELDS);
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
            return Err(
                "expected no header field content-length, which the host sets, got one".into(),
            );
        }
        let appended = fields.append(hooks, name.clone(), value.into_bytes());
        appended.map_err(|error| {
            let name = bounded(format_args!("{name:?}"));
            format!("expected header fields that a client may send, of at most {MAX_FIELDS} bytes, got {name}: {error}")
        })?;
    }
    Ok(fields.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why_not(text: &str) -> String {
        url(text.to_owned()).unwrap_err()
    }

    #[test]
    fn a_url_that_needs_percent_encoding_is_not_valid() {
        for (text, reason) in [
            ("http://a/items/b#c", "percent-encode # as %23"),
            ("http://a/items/b c", "got U+0020"),
            ("http://a/items/b\r\nx: y", "got U+000D"),
            ("http://a/items/ü", "got U+00FC"),
            ("http://a/items/b\\c", "got U+005C"),
            ("http://a/items/50%", "percent-encode % as %25"),
            ("http://a/items/%2", "percent-encode % as %25"),
            ("http://a/items/%zz", "percent-encode % as %25"),
            ("http://a/items/../admin", "without the segments . and .."),
            ("http://a/items/..", "without the segments . and .."),
            ("http://a/./items?b=c", "without the segments . and .."),
            (
                "http://a/items/%2e%2E/admin",
                "without the segments . and ..",
            ),
            ("http://user:secret@a/items", "without a user"),
            ("ftp://a/items", "without a user, got another form"),
            ("/items", "without a user, got another form"),
            ("a", "without a user, got another form"),
            ("", "that is valid"),
            ("http://", "that is valid"),
            ("http://a:b/", "without a user, got another form"),
        ] {
            let got = why_not(text);
            assert!(got.contains(reason), "{text}: {got}");
            assert!(!got.contains("secret"), "{got}");
        }
    }

    #[test]
    fn a_url_is_sent_as_it_is() {
        for text in [
            "http://a/",
            "https://a.example:8443/items/..%2Fadmin%3Fall=1?x=%2e%2e&y=../z&w[0]=1",
            "http://[::1]:80/a/...",
        ] {
            assert_eq!(url(text.to_owned()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_method_has_its_case() {
        assert_eq!(method("GET"), Ok(Method::GET));
        assert_eq!(method("PURGE").unwrap().as_str(), "PURGE");
        let lower = "expected the method GET in upper case, got get";
        assert_eq!(method("get"), Err(lower.to_owned()));
        for text in ["", "G T", "GET\r\n", "GÉT"] {
            let refused = method(text).unwrap_err();
            assert!(
                refused.starts_with("expected a method such as GET, got \""),
                "{refused}"
            );
        }
    }
}
