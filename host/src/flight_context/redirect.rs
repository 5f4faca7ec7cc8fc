//! [`RedirectTarget`]: where a redirect points, as far as the log may show it.

use std::fmt::{self, Display, Formatter};

use http::Uri;
use percent_encoding::percent_decode_str;

/// The origin and the path of a redirect's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RedirectTarget {
    /// The scheme, the host and the port; without a user and a password, which may be secret.
    origin: String,
    /// Without a query and without parameters of its segments, which may be secret.
    path: String,
    /// Whether it is the origin of the request, which settings and not the key determine.
    is_same_origin: bool,
}

/// A target without the key of the call: the log has only the key's hash.
pub(super) struct MaskedTarget<'a> {
    target: &'a RedirectTarget,
    key: &'a str,
}

/// Stands for a slash that ends no segment of the path: one of the origin, or one that is percent-encoded, which may be
/// part of a token. It is as long as a slash, in bytes.
const INNER_SLASH: &str = "\0";

/// The longest path that is shown, in characters.
const MAX_PATH_CHARS: usize = 200;

/// A shorter key is masked only where it stands alone: `1` is no secret in `/v1/items`.
const MIN_EMBEDDED_CHARS: usize = 3;

/// A segment of this length, in bytes, that has letters and digits may be a token, and is not shown.
const MIN_TOKEN_BYTES: usize = 16;

impl RedirectTarget {
    /// The target of `location` in the response to a request of `url`.
    ///
    /// RFC 3986, section 4.2: a reference without a scheme is relative to the URL of the request. Its dot-segments are
    /// kept.
    pub(super) fn of(location: &str, url: &Uri) -> Self {
        let location = location.split(['?', '#']).next().unwrap_or_default();
        let location = location.trim();
        let own_scheme = url.scheme_str().unwrap_or_default();
        let with_scheme = location
            .split_once(':')
            .filter(|(scheme, _)| is_url_scheme(scheme));
        let (origin, path) = match with_scheme {
            Some((scheme, rest)) => match rest.strip_prefix("//") {
                Some(rest) => split(scheme, rest),
                None => (format!("{scheme}:"), ""),
            },
            None => match location.strip_prefix("//") {
                Some(rest) => split(own_scheme, rest),
                None => {
                    let authority = url.authority().map_or("", |authority| authority.as_str());
                    (split(own_scheme, authority).0, location)
                }
            },
        };
        let is_relative = with_scheme.is_none() && !location.starts_with('/');
        let folder = match url.path().rsplit_once('/') {
            Some((folder, _)) if is_relative => format!("{folder}/"),
            _ => String::new(),
        };
        let path = folder + path;
        let segments = path.split('/');
        let segments = segments.map(|segment| segment.split(';').next().unwrap_or_default());
        let path = segments.collect::<Vec<_>>().join("/");
        let own = split(own_scheme, url.authority().map_or("", |own| own.as_str())).0;
        Self {
            is_same_origin: origin == own,
            origin,
            path,
        }
    }

    /// The target without `key`.
    pub(super) fn masking<'a>(&'a self, key: &'a str) -> MaskedTarget<'a> {
        MaskedTarget { target: self, key }
    }
}

impl Display for MaskedTarget<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let RedirectTarget {
            origin,
            path,
            is_same_origin,
        } = self.target;
        let origin = origin.replace('/', INNER_SLASH);
        let segments = path.split('/').map(|segment| {
            let segment = percent_decode_str(segment).decode_utf8_lossy();
            segment.replace('/', INNER_SLASH)
        });
        let path = segments.collect::<Vec<_>>().join("/");
        let (origin, all) = if *is_same_origin {
            let path = self.masked(&path);
            let all = format!("{origin}{path}");
            (origin, all)
        } else {
            // Together, since a key may be a URL.
            let all = self.masked(&format!("{origin}{path}"));
            (self.masked(&origin), all)
        };
        let shown = all.split('/').enumerate().map(|(index, part)| {
            let is_origin = index == 0 && part == origin;
            if !is_origin && may_be_secret(part) {
                "…"
            } else {
                part
            }
        });
        let all = shown.collect::<Vec<_>>().join("/");
        let all = all.replace(INNER_SLASH, "/");
        let max_chars = origin.chars().count() + MAX_PATH_CHARS;
        let shown: String = all.chars().take(max_chars).collect();
        let rest = if shown.len() < all.len() { "…" } else { "" };
        write!(f, "{shown}{rest}")
    }
}

impl MaskedTarget<'_> {
    /// `text` without the key, and without the part of it that is left when its query is cut off, as that of a target.
    fn masked(&self, text: &str) -> String {
        let without_query = self.key.split(['?', '#']).next().unwrap_or_default();
        let text = masked(text, self.key);
        if without_query == self.key {
            text
        } else {
            masked(&text, without_query)
        }
    }
}

/// RFC 3986, section 3.1: a letter, and then letters, digits and `+-.`.
fn is_url_scheme(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_plain)
}

/// The origin and the path of a URL with this scheme, from its authority on.
fn split<'a>(scheme: &str, rest: &'a str) -> (String, &'a str) {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if is_host(host) {
        host
    } else {
        "(an invalid host)"
    };
    (format!("{scheme}://{host}"), path)
}

/// Whether this is a host with at most a port, and no part of a password.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    let is_name = host.starts_with('[') || !host.contains(':');
    is_name && host.bytes().all(is_plain) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a segment may be a token, as some APIs have it in their paths.
fn may_be_secret(segment: &str) -> bool {
    segment.len() >= MIN_TOKEN_BYTES
        && segment.contains(|char: char| char.is_ascii_digit())
        && segment.contains(char::is_alphabetic)
}

/// `text` with `{x}` in place of the key, in upper or lower case.
fn masked(text: &str, key: &str) -> String {
    let lower = text.to_ascii_lowercase().replace(INNER_SLASH, "/");
    let key = key.to_ascii_lowercase().replace(INNER_SLASH, "/");
    if key.is_empty() {
        return text.to_owned();
    }
    let is_embedded = key.chars().count() >= MIN_EMBEDDED_CHARS;
    let is_edge = |char: Option<char>| !char.is_some_and(char::is_alphanumeric);
    let (mut masked, mut end) = (String::with_capacity(text.len()), 0);
    for (start, found) in lower.match_indices(&key) {
        let after = start + found.len();
        let stands_alone =
            is_edge(text[..start].chars().next_back()) && is_edge(text[after..].chars().next());
        if is_embedded || stands_alone {
            masked += &text[end..start];
            masked += "{x}";
            end = after;
        }
    }
    masked + &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(location: &str, key: &str) -> String {
        let url = "http://a.example:8080/v1/items/7?x=1".parse().unwrap();
        RedirectTarget::of(location, &url).masking(key).to_string()
    }

    #[test]
    fn a_target_is_shown_by_its_origin_and_path() {
        for (location, expected) in [
            (
                "https://b.example/c/d?token=s3cret#s3cret",
                "https://b.example/c/d",
            ),
            (
                "https://user:s3cret@b.example:8443/c",
                "https://b.example:8443/c",
            ),
            ("HTTPS://[::1]:8443/c", "HTTPS://[::1]:8443/c"),
            ("//b.example/c;session=s3cret/d", "http://b.example/c/d"),
            ("/login?s3cret", "http://a.example:8080/login"),
            ("other", "http://a.example:8080/v1/items/other"),
            ("", "http://a.example:8080/v1/items/"),
            ("https://b.example", "https://b.example"),
            (
                "/bot123456:s3cret-s3cret/items",
                "http://a.example:8080/…/items",
            ),
            (
                "/v2/a-long-name-of-a-resource/",
                "http://a.example:8080/v2/a-long-name-of-a-resource/",
            ),
            ("mailto:s3cret@b.example", "mailto:"),
            // Not a valid URL: what stands before the question mark is not its host.
            ("http://user:s3c?ret@b.example/", "http://(an invalid host)"),
        ] {
            assert_eq!(shown(location, "key"), expected, "{location}");
        }
        let long = shown(&format!("/{}", "a".repeat(300)), "key");
        assert_eq!(long, format!("http://a.example:8080/{}…", "a".repeat(199)));
    }

    #[test]
    fn the_key_is_masked_however_it_is_encoded() {
        for (key, path, expected) in [
            ("4711", "/items/4711/", "/items/{x}/"),
            ("4711", "/items/item4711.json", "/items/item{x}.json"),
            ("a@B.example", "/items/A%40b.example", "/items/{x}"),
            ("a/b c", "/items/a/b%20c", "/items/{x}"),
            ("1", "/v1/items/1/", "/v1/items/{x}/"),
            ("1", "/v1/1.json", "/v1/{x}.json"),
            ("", "/v1/items", "/v1/items"),
        ] {
            let expected = format!("http://a.example:8080{expected}");
            assert_eq!(shown(path, key), expected, "{key}");
        }
    }

    // fault 69
    #[test]
    fn the_key_is_masked_in_the_host_too() {
        for (key, location, expected) in [
            (
                "s3cret",
                "https://S3cret.b.example/c",
                "https://{x}.b.example/c",
            ),
            ("7", "//shard-7.b.example", "http://shard-{x}.b.example"),
            (
                "a.example:8080",
                "other",
                "http://a.example:8080/v1/items/other",
            ),
            ("s3cret", "s3cret:opaque", "{x}:"),
            // The key is a URL.
            ("https://b.example/c", "https://b.example/c/", "{x}/"),
            ("https://b.example/c?id=7", "https://b.example/c/", "{x}/"),
            (
                "https://b.example/s3",
                "https://b.example/s3cret-s3cret-s3cret",
                "…",
            ),
        ] {
            assert_eq!(shown(location, key), expected, "{location}");
        }
    }

    // fault 69
    #[test]
    fn a_token_is_not_shown_however_it_is_encoded() {
        for (path, expected) in [
            ("/a/s3cret%2Fs3cret%2Fs3cret/b", "/a/…/b"),
            ("/a/%733cret-s3cret-s3cret", "/a/…"),
            ("/a/b%2Fc/s3cret", "/a/b/c/s3cret"),
        ] {
            let expected = format!("http://a.example:8080{expected}");
            assert_eq!(shown(path, "key"), expected, "{path}");
        }
    }

    // fault 69
    #[test]
    fn a_parameter_of_the_requests_own_path_is_not_shown() {
        let url = "http://a.example/v1;session=s3cret/items".parse().unwrap();
        let target = RedirectTarget::of("other", &url);
        assert_eq!(
            target.masking("key").to_string(),
            "http://a.example/v1/other"
        );
    }
}
