//! The URL to ask, from `BASE_URL` and the key.
//!
//! Refuses what would let a key lead elsewhere than `BASE_URL` does: it is encoded whole, stands
//! nowhere before the path, and is no step of a path.

use wasip2::http::types::Scheme;

use crate::bindings::exports::oneflight::client::items::Error;

/// `BASE_URL`, cut into scheme, authority and the rest.
pub(crate) fn split(base_url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = base_url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let sound = !authority.is_empty() && !authority.contains(['@', '{']) && !path.contains('#');
    sound.then_some((scheme, authority, path))
}

/// Path and query for the key `x`, of which all but RFC 3986's unreserved characters are encoded.
pub(crate) fn with_key(path: &str, x: &str) -> Result<String, Error> {
    if matches!(x, "" | "." | "..") {
        let why = "an empty key, `.` or `..` would be a step of the path";
        return Err(Error::InvalidKey(why.into()));
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

/// The complaint about a `BASE_URL` that is missing or cannot be used.
pub(crate) fn needed() -> Error {
    let needed = "an http:// or https:// URL with no user, no fragment and no {x} in its host";
    Error::Other(format!("BASE_URL must be {needed}"))
}

#[cfg(test)]
mod tests {
    use super::{split, with_key};

    fn path(base_url: &str, x: &str) -> String {
        with_key(split(base_url).unwrap().2, x).unwrap()
    }

    #[test]
    fn the_key_stands_where_the_url_says_or_else_in_the_query() {
        assert_eq!(path("http://a/items/{x}", "7"), "/items/7");
        assert_eq!(path("http://a?q={x}&again={x}", "7"), "/?q=7&again=7");
        assert_eq!(path("https://a:8443", "7"), "/?x=7");
        assert_eq!(path("https://a/items?kind=new", "7"), "/items?kind=new&x=7");
    }

    #[test]
    fn a_key_is_never_syntax() {
        assert_eq!(
            path("http://a/{x}", "../b?c#d&e=%2F ü{x}~"),
            "/..%2Fb%3Fc%23d%26e%3D%252F%20%C3%BC%7Bx%7D~"
        );
        for x in ["", ".", ".."] {
            assert!(with_key("/{x}", x).is_err());
        }
    }

    #[test]
    fn a_url_that_a_key_could_bend_or_that_holds_a_secret_is_refused() {
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
