//! From what has arrived to what the guest gets.

use http::{HeaderMap, HeaderValue};
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpHooks};

use crate::component::contract::fetch::{FetchBody, FetchError, FetchResponse};

/// What `response` takes, in bytes.
pub(super) fn size(response: &FetchResponse) -> usize {
    let body = match &response.body {
        FetchBody::Text(text) => text.capacity(),
        FetchBody::Bytes(bytes) => bytes.capacity(),
    };
    size_of_headers(&response.headers) + body
}

/// What `headers` take, in bytes.
pub(super) fn size_of_headers(headers: &[(String, String)]) -> usize {
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len());
    bytes.sum::<usize>() + size_of_val(headers)
}

/// The header fields that the guest gets: those that it would get from wasi:http.
pub(super) fn headers(headers: HeaderMap, hooks: &mut dyn WasiHttpHooks) -> Vec<(String, String)> {
    let fields = FieldMap::new_immutable(hooks, headers);
    let text = fields
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)));
    text.collect()
}

/// RFC 9110, section 5.5: values were ISO 8859-1 once, and are UTF-8 where they are not ASCII today.
fn text(value: &HeaderValue) -> String {
    match str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// A body of `bytes`.
pub(super) fn to_body(bytes: Vec<u8>) -> FetchBody {
    match String::from_utf8(bytes) {
        Ok(text) => FetchBody::Text(text),
        Err(error) => FetchBody::Bytes(error.into_bytes()),
    }
}

/// The case that a client can decide by, for the error that a guest of wasi:http would get.
pub(super) fn to_fetch_error(error: &Error) -> FetchError {
    let text = error.to_string();
    match error {
        Error::HttpRequestDenied => FetchError::Denied(text),
        Error::ConnectionTimeout | Error::ConnectionWriteTimeout | Error::HttpResponseTimeout => {
            FetchError::Timeout(text)
        }
        Error::HttpResponseHeaderSectionSize(_) | Error::HttpResponseBodySize(_) => {
            FetchError::ResponseTooLarge(text)
        }
        Error::HttpProtocolError => FetchError::Malformed(text),
        _ => FetchError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_utf8_or_else_iso_8859_1() {
        let text = |bytes| super::text(&HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(text("grün".as_bytes()), "grün");
        assert_eq!(text(b"gr\xfcn"), "grün");
    }

    #[test]
    fn a_body_is_text_if_it_is_utf8() {
        assert!(matches!(to_body(Vec::new()), FetchBody::Text(text) if text.is_empty()));
        let marked = "\u{feff}[]";
        assert!(matches!(to_body(marked.into()), FetchBody::Text(text) if text == marked));
        assert!(matches!(to_body(b"\xff[]".into()), FetchBody::Bytes(bytes) if bytes == b"\xff[]"));
    }
}
