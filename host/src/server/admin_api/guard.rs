//! Refuses the requests that a web page in an administrator's browser sends to the admin API.
//!
//! - Such a page can make its own name resolve to this address (DNS rebinding), so `Host` has to name this machine, or
//!   be a name that the configuration permits.
//! - Browsers state which site a request comes from (`Sec-Fetch-Site`), so another site is refused.
//! - A page can send a POST to any address, but can add a header of its own only if the response to a CORS preflight
//!   request permits it. No response of this server does, so a POST needs the header `X-Oneflight`.
//!
//! Browsers send `Sec-Fetch-Site` only to loopback and over TLS. To other addresses a page can cause a GET, but cannot
//! read its response.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, header};

use crate::server::problem::RequestError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_ONEFLIGHT: HeaderName = HeaderName::from_static("x-oneflight");

/// Whether the host that a request addresses is this machine. HTTP/2 has the host in the request's URI, HTTP/1 in
/// `Host`. All of them must name this machine, and there must be at least one.
///
/// Names in `named` count as this machine, too.
pub(super) fn is_local(head: &Parts, local: Option<IpAddr>, named: &[String]) -> bool {
    let hosts = head.headers.get_all(header::HOST).into_iter();
    let hosts = hosts.map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut names = head
        .uri
        .authority()
        .cloned()
        .map(Some)
        .into_iter()
        .chain(hosts)
        .peekable();
    names.peek().is_some()
        && names.all(|name| {
            name.is_some_and(|name| {
                is_local_host(name.host(), local) || is_named(name.host(), named)
            })
        })
}

/// Whether a host, with or without the brackets of IPv6, is `localhost`, loopback or the listener's address.
fn is_local_host(host: &str, local: Option<IpAddr>) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| {
            let address = address.to_canonical();
            address.is_loopback() || Some(address) == local.map(|local| local.to_canonical())
        })
}

fn is_named(host: &str, named: &[String]) -> bool {
    named.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether the browser states that a page of another site, or of another port of this one, sends the request.
pub(super) fn is_from_other_site(head: &Parts) -> bool {
    let sites = head.headers.get_all(SEC_FETCH_SITE).into_iter();
    sites
        .map(HeaderValue::as_bytes)
        .any(|site| !matches!(site, b"none" | b"same-origin"))
}

/// Refuses a method other than GET and HEAD: the request may only read.
pub(super) fn require_read(head: &Parts) -> Result<(), RequestError> {
    match head.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(RequestError::Method { allow: "GET, HEAD" }),
    }
}

/// Refuses a method other than POST, and a POST without `X-Oneflight`: the request has an effect.
pub(super) fn require_post(head: &Parts) -> Result<(), RequestError> {
    if head.method != Method::POST {
        return Err(RequestError::Method { allow: "POST" });
    }
    if !head.headers.contains_key(X_ONEFLIGHT) {
        return Err(RequestError::Forbidden(
            "expected an X-Oneflight header, got none; send one with any value, which no web page can",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn is_local_request(uri: &str, hosts: &[&str]) -> bool {
        let request = hosts.iter().fold(Request::get(uri), |request, host| {
            request.header(header::HOST, *host)
        });
        let (head, ()) = request.body(()).unwrap().into_parts();
        let named = ["oneflight.shop.svc".to_owned()];
        is_local(&head, Some("192.0.2.7".parse().unwrap()), &named)
    }

    #[test]
    fn localhost_loopback_and_the_listeners_address_name_this_machine() {
        for host in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]",
            "[::1]:9090",
            "192.0.2.7:9090",
            "[::ffff:192.0.2.7]",
            "oneflight.shop.svc",
            "Oneflight.Shop.Svc:9090",
        ] {
            assert!(is_local_request("/", &[host]), "{host}");
        }
        assert!(is_local_request("http://localhost:9090/", &[]));
    }

    #[test]
    fn a_request_with_another_name_with_two_or_with_none_is_not_local() {
        for host in [
            "",
            "rebound.example",
            "localhost.example:80",
            "192.0.2.8",
            "0.0.0.0:9090",
            "[::]:9090",
            "::1",
            "a b",
            "oneflight.shop",
            "a.oneflight.shop.svc",
            "oneflight.shop.svc.",
        ] {
            assert!(!is_local_request("/", &[host]), "{host:?}");
        }
        assert!(!is_local_request("/", &[]));
        assert!(!is_local_request("/", &["localhost", "rebound.example"]));
        assert!(!is_local_request("http://rebound.example/", &["localhost"]));
    }

    #[test]
    fn a_post_needs_the_header_that_no_web_page_can_send() {
        let head = |method: Method, name: &str| {
            let request = Request::builder().method(method).header(name, "1");
            request.body(()).unwrap().into_parts().0
        };
        assert!(require_post(&head(Method::POST, "x-oneflight")).is_ok());
        let refused = require_post(&head(Method::POST, "x-other"));
        assert!(matches!(refused, Err(RequestError::Forbidden(_))));
        let refused = require_post(&head(Method::GET, "x-oneflight"));
        assert!(matches!(
            refused,
            Err(RequestError::Method { allow: "POST" })
        ));
    }

    #[test]
    fn a_request_of_the_user_or_of_the_same_origin_is_from_no_other_site() {
        let is_other = |sites: &[&str]| {
            let request = sites.iter().fold(Request::get("/"), |request, site| {
                request.header(SEC_FETCH_SITE, *site)
            });
            is_from_other_site(&request.body(()).unwrap().into_parts().0)
        };
        for sites in [&[][..], &["none"], &["same-origin"]] {
            assert!(!is_other(sites), "{sites:?}");
        }
        for sites in [&["cross-site"][..], &["same-site"], &["none", "cross-site"]] {
            assert!(is_other(sites), "{sites:?}");
        }
    }
}
