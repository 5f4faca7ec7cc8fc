//! [`Target`]: the scheme, host and port that a request goes to; and [`AllowRule`]: an entry of a list of targets.
//!
//! Both are parsed by the same rules, and the URL that is sent is built from the parsed target: nothing is dialled or
//! sent to an upstream that was not checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use super::denial::Denial;

/// An entry of a list of targets: `[scheme://]host[:port]`.
///
/// Without a scheme it covers both; without a port, the default port of the scheme. The host is a name or an address;
/// `*.example.com` covers every subdomain of `example.com`, and not `example.com` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRule {
    scheme: Option<Scheme>,
    host: HostPattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Exact(Host),
    /// Every name with this suffix: `.example.com`.
    Subdomains(String),
}

/// A string is not a valid [`AllowRule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRuleError {
    text: String,
}

/// The parts of a request's URL that a policy decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// Addresses are compared by value, not by notation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

impl AllowRule {
    /// Whether a request to `target` is covered.
    pub(super) fn covers(&self, target: &Target) -> bool {
        let host = match (&self.host, &target.host) {
            (HostPattern::Exact(host), requested) => host == requested,
            (HostPattern::Subdomains(suffix), Host::Name(name)) => {
                name.ends_with(suffix) && name.len() > suffix.len()
            }
            (HostPattern::Subdomains(_), Host::Address(_)) => false,
        };
        let scheme = &self.scheme;
        host && scheme
            .as_ref()
            .is_none_or(|scheme| *scheme == target.scheme)
            && self.port.unwrap_or(default_port(&target.scheme)) == target.port
    }
}

impl FromStr for AllowRule {
    type Err = AllowRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AllowRuleError {
            text: text.to_owned(),
        };
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::HTTP), rest),
            Some(("https", rest)) => (Some(Scheme::HTTPS), rest),
            Some(_) => return Err(error()),
            None => (None, text),
        };
        // The part after the star is parsed as any other name.
        let (subdomains, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| error())?;
        let has_no_path = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let target = Target::of(&uri).map_err(|_| error())?;
        let host = match (subdomains, target.host) {
            (false, host) => HostPattern::Exact(host),
            (true, Host::Name(name)) => HostPattern::Subdomains(format!(".{name}")),
            (true, Host::Address(_)) => return Err(error()),
        };
        let port = uri.port_u16();
        if has_no_path {
            Ok(Self { scheme, host, port })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        match &self.host {
            HostPattern::Exact(host) => host.fmt(f)?,
            HostPattern::Subdomains(suffix) => write!(f, "*{suffix}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for AllowRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected [scheme://]host[:port] with scheme http or https, got {:?}; write it as in \
             https://api.example.com, https://*.example.com or localhost:3000",
            self.text
        )
    }
}

impl std::error::Error for AllowRuleError {}

impl Target {
    /// The target of a request for `uri`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Denial> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Denial::BadUrl);
        };
        // A user before the host is refused: it may contain a password, which must not get into the log. After the
        // host only a port may follow.
        let user = authority.as_str().contains('@');
        let after = authority.as_str().strip_prefix(authority.host());
        let port = after.is_some_and(|after| after.is_empty() || authority.port_u16().is_some());
        let host = Host::of(authority.host()).filter(|_| port && !user && is_http(scheme));
        Ok(Self {
            scheme: scheme.clone(),
            host: host.ok_or(Denial::BadUrl)?,
            port: authority.port_u16().unwrap_or(default_port(scheme)),
        })
    }

    /// The URL of `path` at this target.
    pub(super) fn url(&self, path: Option<PathAndQuery>) -> Result<Uri, Denial> {
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        let url = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority())
            .path_and_query(path);
        url.build().map_err(|_| Denial::BadUrl)
    }

    pub(super) fn host(&self) -> impl fmt::Display {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]`, without the default port of the scheme.
    fn authority(&self) -> String {
        if self.port == default_port(&self.scheme) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl Host {
    /// Parses an address, or a name of letters, digits, `-`, `_` and `.`: a denial prints it, and a person may paste
    /// it into a shell.
    fn of(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_name = !text.is_empty() && text.bytes().all(is_allowed);
        (is_name && !text.starts_with('.') && !text.contains("..") && !ends_in_a_number(text))
            .then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Whether a resolver may take `name` for an IPv4 address in another notation (`0x7f.1`, `2130706433`). No top-level
/// domain is a number (WHATWG URL, "ends in a number").
fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::of(&url.parse().unwrap()).unwrap()
    }

    fn covers(rule: &str, url: &str) -> bool {
        rule.parse::<AllowRule>().unwrap().covers(&target(url))
    }

    #[test]
    fn a_rule_is_printed_as_it_is_written() {
        for text in [
            "a.example",
            "https://*.a.example:8443",
            "http://[::1]",
            "10.0.0.1:80",
        ] {
            assert_eq!(text.parse::<AllowRule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_rule_covers_its_scheme_host_and_port_and_nothing_else() {
        for (rule, url) in [
            ("https://api.example.com", "https://api.example.com/a?b"),
            ("https://api.example.com", "https://API.example.com:443/"),
            ("both.example:8080", "http://both.example:8080/"),
            ("both.example:8080", "https://both.example:8080/"),
            ("both.example", "http://both.example/"),
            ("both.example", "https://both.example/"),
            ("[::1]:9", "http://[::1]:9/"),
            ("[::1]:9", "http://[0:0:0:0:0:0:0:1]:9/"),
        ] {
            assert!(covers(rule, url), "{rule} {url}");
        }
        for (rule, url) in [
            ("https://api.example.com", "http://api.example.com/"),
            ("https://api.example.com", "https://api.example.com:444/"),
            (
                "https://api.example.com",
                "https://api.example.com.evil.example/",
            ),
            ("https://api.example.com", "https://evil.api.example.com/"),
            ("https://api.example.com", "https://api.example.com./"),
            ("both.example:8080", "http://both.example/"),
            ("both.example", "http://both.example:443/"),
            ("[::1]:9", "http://[::2]:9/"),
            // The same address, mapped to IPv6, is another literal.
            ("169.254.169.254", "http://[::ffff:169.254.169.254]/"),
        ] {
            assert!(!covers(rule, url), "{rule} {url}");
        }
    }

    #[test]
    fn a_star_covers_every_subdomain_and_no_other_name() {
        for url in ["https://a.example.com/", "https://A.B.Example.com:443/x"] {
            assert!(covers("https://*.example.com", url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://badexample.com/",
            "https://a.example.com.evil.example/",
            "http://a.example.com/",
            "https://a.example.com:444/",
        ] {
            assert!(!covers("https://*.example.com", url), "{url}");
        }
        // An address has no subdomains.
        assert!(!covers("*.0.0.x", "http://127.0.0.1/"));
    }

    #[test]
    fn the_url_that_is_sent_is_built_from_the_parsed_target() {
        let rewritten = |url: &str| {
            let uri: Uri = url.parse().unwrap();
            let path = uri.path_and_query().cloned();
            target(url).url(path).unwrap().to_string()
        };
        assert_eq!(
            rewritten("http://API.Example:080/A?B"),
            "http://api.example/A?B"
        );
        assert_eq!(rewritten("https://a:0443"), "https://a/");
        assert_eq!(rewritten("https://a:80/?q"), "https://a:80/?q");
        assert_eq!(rewritten("http://[0:0::1]:9/"), "http://[::1]:9/");
    }

    #[test]
    fn a_url_of_another_form_is_refused() {
        for url in [
            "/path",
            "ftp://host/",
            "http://u:p@host/",
            "http://a,b/",
            "http://a..b/",
            // Loopback, to a resolver that accepts the notations of inet_aton.
            "http://0x7f.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://0X7F000001/",
        ] {
            let refused = Target::of(&url.parse().unwrap());
            assert_eq!(refused, Err(Denial::BadUrl), "{url}");
        }
    }

    #[test]
    fn a_rule_of_another_form_is_refused_with_the_expected_form() {
        for bad in [
            "",
            "ftp://host",
            "http://",
            "user:pw@host",
            "host@host",
            "host:80@host:80",
            "host/path",
            "host?",
            "host:99999",
            "a b",
            "*",
            "*.",
            "a.*.example",
            "*example.com",
            "*.*.example.com",
            "*.127.0.0.1",
            "*.0.0.1",
            "0x7f.1",
            "*.[::1]",
            "[127.0.0.1]",
        ] {
            let error = bad.parse::<AllowRule>().unwrap_err().to_string();
            assert!(
                error.contains("expected [scheme://]host[:port]"),
                "{bad:?}: {error}"
            );
        }
    }

    #[test]
    fn a_rule_for_subdomains_does_not_cover_a_name_that_is_empty_before_the_dot() {
        let rule: AllowRule = "http://*.a.example".parse().unwrap();
        let named = |name: &str| Target {
            scheme: Scheme::HTTP,
            host: Host::Name(name.to_owned()),
            port: 80,
        };
        assert!(rule.covers(&named("b.a.example")));
        assert!(!rule.covers(&named(".a.example")));
    }

    #[test]
    fn a_target_has_the_port_of_its_url_or_of_its_scheme() {
        for (url, port) in [
            ("http://a", 80),
            ("https://a", 443),
            ("http://a:8080", 8_080),
        ] {
            assert_eq!(target(url).port(), port);
        }
    }
}
