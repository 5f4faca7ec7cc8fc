//! The URL of the request, from `BASE_URL` and the key.
//!
//! A key cannot change where `BASE_URL` leads: it is percent-encoded completely, only replaces parts of the path and
//! the query, and is no dot-segment.

use wasip2::http::types::Scheme;

use crate::bindings::exports::oneflight::client::items::Error;

/// Splits `BASE_URL` into scheme, authority, and path with query.
pub(crate) fn split(base_url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = base_url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_valid = !authority.is_empty() && !authority.contains(['@', '{']) && !path.contains('#');
    is_valid.then_some((scheme, authority, path))
}

/// The path and query for the key `x`.
///
/// RFC 3986, section 2.3: unreserved characters need no encoding. All others are encoded.
pub(crate) fn with_key(path: &str, x: &str) -> Result<String, Error> {
    if matches!(x, "" | "." | "..") {
        let message =
            "expected a key other than `.`, `..` and the empty one, which are segments of a path";
        return Err(Error::InvalidKey(message.into()));
    }
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).into()
        }
        _ => format!("%{byte:02X}"),
    };
    let key: String = x.bytes().map(encode).collect();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(match path {
        _ if path.contains("{x}") => format!("{slash}{}", path.replace("{x}", &key)),
        _ if path.contains('?') => format!("{slash}{path}&x={key}"),
        _ => format!("{slash}{path}?x={key}"),
    })
}

/// The error of a `BASE_URL` that is missing or not valid.
pub(crate) fn bad_base_url() -> Error {
    let expected = "an http:// or https:// URL with no user, no fragment and no {x} in its host";
    Error::Other(format!("expected {expected}, got another BASE_URL"))
}

#[cfg(test)]
mod tests {
    use super::{split, with_key};

    fn path(base_url: &str, x: &str) -> String {
        with_key(split(base_url).unwrap().2, x).unwrap()
    }

    #[test]
    fn the_key_replaces_the_placeholder_or_is_added_to_the_query() {
        assert_eq!(path("http://a/items/{x}", "7"), "/items/7");
        assert_eq!(path("http://a?q={x}&again={x}", "7"), "/?q=7&again=7");
        assert_eq!(path("https://a:8443", "7"), "/?x=7");
        assert_eq!(path("https://a/items?kind=new", "7"), "/items?kind=new&x=7");
    }

    #[test]
    fn a_key_is_encoded_completely() {
        assert_eq!(
            path("http://a/{x}", "../b?c#d&e=%2F ü{x}~"),
            "/..%2Fb%3Fc%23d%26e%3D%252F%20%C3%BC%7Bx%7D~"
        );
        for x in ["", ".", ".."] {
            assert!(with_key("/{x}", x).is_err());
        }
    }

    #[test]
    fn a_url_with_a_user_a_fragment_or_a_placeholder_in_its_host_is_refused() {
        for url in [
            "",
            "a/b",
            "ftp://a",
            "http://",
            "http:///b",
            "http://u:p@a",
            "http://a#b",
            "http://{x}.a",
        ] {
            assert!(split(url).is_none(), "{url}");
        }
    }
}
