//! Whether a request names its host correctly. The public API serves every host; a request that names none, or several,
//! may be read differently by a proxy in front of it.

use http::request::Parts;
use http::uri::Authority;
use http::{Version, header};

use super::problem::RequestError;

/// RFC 9112, section 3.2: a request of HTTP/1.1 has exactly one valid Host, and a request with an invalid one is
/// refused. RFC 9110, section 4.2.1: the host of an HTTP URI is not empty. RFC 9110, section 4.2.4: user information
/// in an authority is an error.
pub(super) fn check(head: &Parts) -> Result<(), RequestError> {
    let hosts = head.headers.get_all(header::HOST);
    let count = hosts.iter().count();
    if head.version == Version::HTTP_11 && count != 1 || count > 1 {
        return Err(RequestError::Malformed(
            "expected exactly one Host header, got none or more than one; send one",
        ));
    }
    let is_valid = hosts
        .iter()
        .all(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| is_host(&host)))
        && head.uri.authority().is_none_or(is_host);
    if is_valid {
        return Ok(());
    }
    Err(RequestError::Malformed(
        "expected a host and optionally a port as Host, as in example.com:8080, got another value",
    ))
}

/// Whether an authority has a host, a valid port if any, and no user information.
fn is_host(authority: &Authority) -> bool {
    let text = authority.as_str();
    let rest = text.strip_prefix(authority.host()).unwrap_or(text);
    let port = rest.strip_prefix(':').unwrap_or(rest);
    !authority.host().is_empty()
        && !text.contains('@')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn is_accepted(version: Version, uri: &str, hosts: &[&[u8]]) -> bool {
        let request = Request::get(uri).version(version);
        let request = hosts
            .iter()
            .fold(request, |request, host| request.header(header::HOST, *host));
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "a",
            "example.com:8080",
            "127.0.0.1",
            "[::1]:80",
            "a_b-c.d:",
            "xn--bcher-kva.example",
        ] {
            assert!(
                is_accepted(Version::HTTP_11, "/", &[host.as_bytes()]),
                "{host}"
            );
        }
        for host in [
            "",
            " ",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a@b",
            "user:pass@a",
            "a:b",
            "a:80:90",
            "a:70000",
            "a:-1",
            "a:+1",
            "[::1",
            "\u{e9}",
        ] {
            assert!(
                !is_accepted(Version::HTTP_11, "/", &[host.as_bytes()]),
                "{host:?}"
            );
        }
    }

    #[test]
    fn only_http_1_1_requires_a_host_and_none_may_have_two() {
        assert!(!is_accepted(Version::HTTP_11, "/", &[]));
        assert!(is_accepted(Version::HTTP_10, "/", &[]));
        assert!(is_accepted(Version::HTTP_2, "http://a/", &[]));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!is_accepted(version, "/", &[b"a", b"a"]), "{version:?}");
            assert!(!is_accepted(version, "/", &[b""]), "{version:?}");
            assert!(
                !is_accepted(version, "http://user@a/", &[b"a"]),
                "{version:?}"
            );
        }
        assert!(is_accepted(Version::HTTP_11, "http://b/", &[b"a"]));
    }
}
