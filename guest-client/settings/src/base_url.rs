//! [`BaseUrl`]: the URL of the request, but for the key.
//!
//! A key cannot change where the URL leads: it is percent-encoded completely, only replaces parts of the path and the
//! query, and is no dot-segment.

use crate::error::Problem;

/// The URL of the request, but for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// The scheme.
    pub scheme: UrlScheme,
    /// The host and, if it is stated, the port.
    pub authority: String,
    /// The path and the query, with the placeholder; possibly empty.
    path: String,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// What the key replaces.
const PLACEHOLDER: &str = "{x}";

impl UrlScheme {
    /// Its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl BaseUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, Problem> {
        let (scheme, rest) = url.split_once("://").ok_or(Problem::Scheme)?;
        // RFC 3986, section 3.1: schemes are case-insensitive.
        let scheme = match &*scheme.to_ascii_lowercase() {
            "http" => UrlScheme::Http,
            "https" => UrlScheme::Https,
            _ => return Err(Problem::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        check_authority(authority)?;
        check_path(path)?;
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    /// The path and the query of a request for the key `x`. `None` for a key that a path cannot have: the empty one
    /// and dot-segments.
    ///
    /// RFC 3986, section 2.3: unreserved characters need no encoding. All others are encoded.
    #[must_use]
    pub fn path_for(&self, x: &str) -> Option<String> {
        if matches!(x, "" | "." | "..") {
            return None;
        }
        let mut key = String::with_capacity(x.len());
        for byte in x.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    key.push(byte.into());
                }
                _ => key += &format!("%{byte:02X}"),
            }
        }
        let path = &self.path;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(match path {
            _ if path.contains(PLACEHOLDER) => {
                format!("{slash}{}", path.replace(PLACEHOLDER, &key))
            }
            _ if path.contains('?') => format!("{slash}{path}&x={key}"),
            _ => format!("{slash}{path}?x={key}"),
        })
    }
}

fn check_authority(authority: &str) -> Result<(), Problem> {
    if authority.contains(['{', '}', '%']) {
        return Err(Problem::PlaceholderInHost);
    }
    if authority.contains('@') {
        return Err(Problem::User);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_in_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.bytes().all(is_in_address),
        None => !host.is_empty() && host.bytes().all(is_in_name),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_host && port.is_none_or(is_port) {
        Ok(())
    } else {
        Err(Problem::Host)
    }
}

/// Checks the path and the query. A placeholder in another form than `{x}` would be sent as it is, and every key would
/// get the same answer.
fn check_path(path: &str) -> Result<(), Problem> {
    // By a character that is no hexadecimal digit: a key must not become part of what follows a percent sign.
    let without = path.replace(PLACEHOLDER, "x");
    let encoded = path.to_ascii_lowercase();
    let has_other_braces = without.contains(['{', '}']) || path.contains("${");
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut after_encoded_braces = encoded.split("%7b").skip(1);
    let has_encoded_name = after_encoded_braces.any(|rest| {
        rest.split_once("%7d")
            .is_some_and(|(name, _)| is_name(name))
    });
    let mut segments = path.split(['?', '#']).next().unwrap_or_default().split('/');
    let has_colon_name = segments.any(|segment| segment.strip_prefix(':').is_some_and(is_name));
    if has_other_braces || has_encoded_name || has_colon_name {
        return Err(Problem::Placeholder);
    }
    if path.contains('#') {
        return Err(Problem::Fragment);
    }
    let mut after_percent = without.split('%').skip(1);
    let is_encoded = |rest: &str| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !after_percent.all(is_encoded) {
        return Err(Problem::Percent);
    }
    let query = without.find('?').unwrap_or(without.len());
    let is_valid = |(place, byte): (usize, u8)| match byte {
        // Not valid in RFC 3986, section 3.4, and common in queries.
        b'[' | b']' | b'|' | b'^' => place > query,
        b'"' | b'<' | b'>' | b'\\' | b'`' => false,
        byte => byte.is_ascii_graphic(),
    };
    if without.bytes().enumerate().all(is_valid) {
        Ok(())
    } else {
        Err(Problem::Character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(base_url: &str, x: &str) -> String {
        BaseUrl::parse(base_url).unwrap().path_for(x).unwrap()
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
            assert_eq!(BaseUrl::parse("http://a/{x}").unwrap().path_for(x), None);
        }
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        for (url, scheme, authority) in [
            ("http://a", UrlScheme::Http, "a"),
            ("HTTP://A.example:80/{x}", UrlScheme::Http, "A.example:80"),
            ("https://[::1]:8443?q={x}", UrlScheme::Https, "[::1]:8443"),
            ("https://[::1]/", UrlScheme::Https, "[::1]"),
            ("https://a_b.example./", UrlScheme::Https, "a_b.example."),
        ] {
            let parsed = BaseUrl::parse(url).unwrap();
            assert_eq!(
                (parsed.scheme, &*parsed.authority),
                (scheme, authority),
                "{url}"
            );
        }
    }

    #[test]
    fn characters_that_are_common_in_urls_are_permitted() {
        for url in [
            "http://a/b;c=d/(e)/~f/$g/@h/i:j/*,!'+&=",
            "http://a/%7B%22id%22%3A1%7D/{x}",
            "http://a/b?filter[id]={x}&titles=a|b&$top=3&at=:x",
            "http://a/items/item-{x}.json",
            "http://a/v1/items:batchGet?name={x}",
            "http://a/items('{x}')",
            "http://a/%41{x}%42?c=%20{x}",
        ] {
            assert!(BaseUrl::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_meant_is_refused() {
        for (url, problem) in [
            ("", Problem::Scheme),
            ("a/b", Problem::Scheme),
            ("localhost:3000/{x}", Problem::Scheme),
            ("ftp://a", Problem::Scheme),
            ("http://", Problem::Host),
            ("http:///b", Problem::Host),
            ("http://:80/", Problem::Host),
            ("http://a:/", Problem::Host),
            ("http://a:0/", Problem::Host),
            ("http://a:65536/", Problem::Host),
            ("http://::1/", Problem::Host),
            ("http://*.a.example/", Problem::Host),
            ("http://b\u{fc}cher.example/", Problem::Host),
            ("http://a b/", Problem::Host),
            ("http://u:p@a", Problem::User),
            ("http://{x}.a", Problem::PlaceholderInHost),
            ("http://a:{port}/", Problem::PlaceholderInHost),
            ("http://a:80{x}", Problem::PlaceholderInHost),
            ("http://[::{x}]/", Problem::PlaceholderInHost),
            ("http://%{x}/", Problem::PlaceholderInHost),
            ("htt{x}p://a/", Problem::Scheme),
            ("http://a#b", Problem::Fragment),
            ("http://a/#{x}", Problem::Fragment),
            ("http://a/{id}", Problem::Placeholder),
            ("http://a/{X}", Problem::Placeholder),
            ("http://a/{}", Problem::Placeholder),
            ("http://a/{ x }", Problem::Placeholder),
            ("http://a/{{x}}", Problem::Placeholder),
            ("http://a/${x}", Problem::Placeholder),
            ("http://a/${id}", Problem::Placeholder),
            ("http://a/{x}?page={page}", Problem::Placeholder),
            ("http://a/{x", Problem::Placeholder),
            ("http://a/%7Bx%7D", Problem::Placeholder),
            ("http://a/?q=%7bid%7d", Problem::Placeholder),
            ("http://a/items/:id", Problem::Placeholder),
            ("http://a/:shop/items/{x}?q=1", Problem::Placeholder),
            ("http://a/%s", Problem::Percent),
            ("http://a/items/%", Problem::Percent),
            ("http://a/?q=100%&x={x}", Problem::Percent),
            ("http://a/%{x}", Problem::Percent),
            ("http://a/%{x}41", Problem::Percent),
            ("http://a/%2{x}", Problem::Percent),
            ("http://a/%2{x}0", Problem::Percent),
            ("http://a/{x}%", Problem::Percent),
            ("http://a/b?c=%{x}{x}", Problem::Percent),
            ("http://a/<id>", Problem::Character),
            ("http://a/[id]", Problem::Character),
            ("http://a/{x}?q=a b", Problem::Character),
            ("http://a/{x}\n", Problem::Character),
            ("http://a/b\u{fc}cher/{x}", Problem::Character),
            ("http://a\\b", Problem::Host),
            ("http://a/b\\c", Problem::Character),
        ] {
            assert_eq!(BaseUrl::parse(url), Err(problem), "{url}");
        }
    }
}
