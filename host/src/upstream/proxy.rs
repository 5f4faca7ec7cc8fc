//! [`Proxy`]: the HTTP proxy through which a client's requests go, and which of them do.
//!
//! It only decides; `dial` connects. The rules, `NO_PROXY` among them, are hyper-util's. No message and no
//! [`fmt::Debug`] has the user or the password of a proxy.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::allow_rule::Target;

/// The proxy of one client: a URL for each scheme, and the hosts that are reached without it.
#[derive(Clone)]
pub struct Proxy {
    urls: ProxyUrls,
    matcher: Arc<Matcher>,
}

/// What it was made of. The URLs may contain a password.
#[derive(Clone, Default, PartialEq, Eq)]
struct ProxyUrls {
    http: String,
    https: String,
    no_proxy: String,
}

/// A value is not the URL of a proxy. It may contain a password, so the message does not repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyError {
    /// The environment variable that has it, or the setting.
    name: &'static str,
}

impl Proxy {
    /// The proxy with this URL, `http://[user:password@]host[:port]`, for all requests.
    ///
    /// # Errors
    ///
    /// When the URL has another form.
    pub fn from_url(url: &str) -> Result<Self, ProxyError> {
        if !url.starts_with("http://") || !is_proxy(url) {
            return Err(ProxyError { name: "proxy" });
        }
        Ok(Self::new(ProxyUrls {
            http: url.to_owned(),
            https: url.to_owned(),
            no_proxy: String::new(),
        }))
    }

    /// The proxies that the environment names: `HTTPS_PROXY` for `https` and `HTTP_PROXY` for `http`, else `ALL_PROXY`,
    /// and none for the hosts in `NO_PROXY`. A name in lower case precedes the one in upper case, and an empty value
    /// counts as none.
    ///
    /// # Errors
    ///
    /// When a value is not the URL of an HTTP proxy.
    pub fn from_environment() -> Result<Self, ProxyError> {
        Self::from_variables(|name| env::var_os(name))
    }

    fn from_variables(read: impl Fn(&str) -> Option<OsString>) -> Result<Self, ProxyError> {
        // A CGI program gets the request header `Proxy` in HTTP_PROXY.
        let is_cgi = read("REQUEST_METHOD").is_some();
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = read(name).filter(|value| !value.is_empty())?;
                (!is_cgi || *name != "HTTP_PROXY").then_some((*name, value))
            })
        };
        let url = |names: &[&'static str]| match first(names) {
            None => Ok(String::new()),
            Some((name, value)) => {
                let url = value.into_string().ok().filter(|url| is_proxy(url));
                url.ok_or(ProxyError { name })
            }
        };
        let no_proxy = first(&["no_proxy", "NO_PROXY"]);
        let no_proxy = no_proxy.map(|(_, value)| value.to_string_lossy().into_owned());
        Ok(Self::new(ProxyUrls {
            http: url(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https: url(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            no_proxy: no_proxy.unwrap_or_default(),
        }))
    }

    fn new(urls: ProxyUrls) -> Self {
        let matcher = Matcher::builder()
            .http(&urls.http)
            .https(&urls.https)
            .no(&urls.no_proxy)
            .build();
        Self {
            urls,
            matcher: Arc::new(matcher),
        }
    }
}

/// Through which proxy a request for `url` goes, if it goes through one. It depends on the scheme and the host alone.
pub(super) fn proxy_of(proxy: Option<&Proxy>, url: &Uri) -> Option<Intercept> {
    proxy?.matcher.intercept(url)
}

/// `host:port` of a proxy, for messages.
pub(super) fn address(proxy: &Intercept) -> String {
    let host = proxy.uri().host().unwrap_or_default();
    format!("{host}:{}", proxy.uri().port_u16().unwrap_or(80))
}

/// Whether `url` is that of an HTTP proxy, with or without the scheme. The target has no `@`, so no part of a password
/// is taken for a host.
fn is_proxy(url: &str) -> bool {
    let any = Uri::from_static("http://any.example");
    let matcher = Matcher::builder().all(url).build();
    matcher.intercept(&any).is_some_and(|proxy| {
        proxy.uri().scheme() == Some(&Scheme::HTTP) && Target::of(proxy.uri()).is_ok()
    })
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.urls == other.urls
    }
}

impl Eq for Proxy {}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matcher.fmt(f)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        let or = if name == "proxy" {
            "environment or "
        } else {
            ""
        };
        write!(
            f,
            "expected {or}http://[user:password@]host[:port] for {name}, got another form; write it as in \
             http://proxy.example:3128, with special characters of a password as %40 and so on"
        )
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Proxy, ProxyError> {
        Proxy::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn used(proxy: &Proxy, url: &str) -> Option<String> {
        proxy_of(Some(proxy), &url.parse().unwrap())
            .as_ref()
            .map(address)
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_comes_first() {
        let proxy = environment(&[
            ("HTTPS_PROXY", "http://secure.example:1"),
            ("http_proxy", "plain.example:2"),
            ("HTTP_PROXY", "http://upper.example"),
            ("ALL_PROXY", "socks5://not.used"),
            ("NO_PROXY", "direct.example, 10.0.0.0/8"),
        ]);
        let proxy = proxy.unwrap();
        for (url, expected) in [
            ("https://a.example/x", Some("secure.example:1")),
            ("http://a.example:99/x", Some("plain.example:2")),
            ("https://direct.example/", None),
            ("http://a.direct.example/", None),
            ("http://indirect.example/", Some("plain.example:2")),
            ("http://10.1.2.3/", None),
        ] {
            assert_eq!(used(&proxy, url).as_deref(), expected, "{url}");
        }
        let all = environment(&[("HTTPS_PROXY", ""), ("all_proxy", "http://[::1]")]).unwrap();
        assert_eq!(used(&all, "https://a.example").as_deref(), Some("[::1]:80"));
        assert_eq!(used(&all, "http://a.example").as_deref(), Some("[::1]:80"));
        let none = environment(&[]).unwrap();
        assert_eq!(used(&none, "https://a.example"), None);
    }

    #[test]
    fn a_request_header_of_a_cgi_program_is_no_proxy() {
        let variables = [
            ("REQUEST_METHOD", "GET"),
            ("HTTP_PROXY", "http://evil.example"),
        ];
        let proxy = environment(&variables).unwrap();
        assert_eq!(used(&proxy, "http://a.example"), None);
    }

    #[test]
    fn the_user_and_the_password_are_sent_and_not_shown() {
        let proxy = Proxy::from_url("http://user:hunt%40er2@proxy.example:3128").unwrap();
        let intercept = proxy_of(Some(&proxy), &"https://a.example".parse().unwrap()).unwrap();
        // The base64 of user:hunt@er2.
        assert_eq!(
            intercept.basic_auth().unwrap(),
            "Basic dXNlcjpodW50QGVyMg=="
        );
        assert_eq!(address(&intercept), "proxy.example:3128");
        let shown = format!("{proxy:?}");
        assert!(
            shown.contains("proxy.example") && !shown.contains("er2"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_not_the_url_of_an_http_proxy_is_refused_without_its_value() {
        for url in [
            "environmen",
            "proxy.example:3128",
            "https://hunter2.example",
            "socks5://hunter2.example",
            "http://user:hun@ter2@proxy.example",
            "http://hunter2@",
            "http://hunter2 .example",
            "",
        ] {
            let error = Proxy::from_url(url).unwrap_err().to_string();
            assert!(
                error.starts_with("expected environment or http://"),
                "{url}"
            );
            assert!(!error.contains("ter2"), "{error}");
        }
        for url in [
            "socks5://hunter2.example",
            "https://hunter2.example",
            "://hunter2",
        ] {
            let error = environment(&[("ALL_PROXY", url)]).unwrap_err().to_string();
            assert!(error.contains("for ALL_PROXY, got another form"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
