//! [`ResponseFacts`]: what an upstream's response states about itself, for the log and for callers.
//!
//! A guest reports a status or a response that it could not parse, and the contract has no room for more. The host has
//! seen the response, so the reasons are the same for every guest. Values that may be secret are not kept: of a
//! redirect only the origin and the path, of a challenge only its scheme, of a body only its kind.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};

use super::body_kind::FirstBytes;
use super::redirect::RedirectTarget;
use super::retry_after::retry_after;

/// What a response states about itself.
#[derive(Clone, Debug)]
pub(crate) struct ResponseFacts {
    status: StatusCode,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// Of a redirect.
    target: Option<RedirectTarget>,
    /// The schemes of the challenges of a response that refuses the client's credentials.
    challenges: Vec<String>,
    retry_after: Option<Duration>,
    pub(super) first_bytes: FirstBytes,
}

/// The longest value of a header that is kept, in bytes. Media types are shorter.
const MAX_VALUE_BYTES: usize = 100;

/// The longest name of a challenge's scheme, in bytes. Those that are registered are shorter.
const MAX_SCHEME_BYTES: usize = 32;

impl ResponseFacts {
    /// The facts of a response with this head to a request of `url`.
    pub(super) fn of(head: &Parts, url: &Uri) -> Self {
        let (status, headers) = (head.status, &head.headers);
        let refuses = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        );
        let fails = status.is_client_error() || status.is_server_error();
        Self {
            status,
            content_type: text(headers, &header::CONTENT_TYPE).map(str::to_owned),
            content_encoding: text(headers, &header::CONTENT_ENCODING).map(str::to_owned),
            target: text_of_any_length(headers, &header::LOCATION)
                .filter(|_| status.is_redirection())
                .map(|location| RedirectTarget::of(location, url)),
            challenges: if refuses {
                challenges(headers)
            } else {
                Vec::new()
            },
            retry_after: fails
                .then(|| retry_after(headers, SystemTime::now()))
                .flatten(),
            first_bytes: FirstBytes::default(),
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The time after which the upstream accepts the next request, if the response failed and stated it.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What an operator can do about the status, if there is anything. The `key` of the call is masked.
    pub(crate) fn advice(&self, key: &str) -> Option<String> {
        let status = self.status();
        if let Some(target) = &self.target {
            let target = target.masking(key);
            return Some(format!(
                "the upstream redirects to {target} with status {status}; redirects are not followed, so request that \
                 URL itself"
            ));
        }
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let mut advice = format!("the upstream refuses the client's credentials with status {status}");
                let challenges = self.challenges.join(", ");
                let _ = match &*challenges {
                    "" => write!(advice, " and states no scheme"),
                    schemes => write!(advice, " and expects the scheme {schemes}"),
                };
                Some(advice + "; check what the client sends, for example HEADER_AUTHORIZATION")
            }
            StatusCode::PARTIAL_CONTENT => Some(
                "the upstream responded with a part of its answer (status 206), although the whole was requested; \
                 request all of it, for example by a page size in the URL"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The media type of the body.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The coding of the body.
    pub(crate) fn content_encoding(&self) -> Option<&str> {
        self.content_encoding.as_deref()
    }

    /// What the first bytes of the body that the guest has read are the beginning of.
    pub(crate) fn body_kind(&self) -> &'static str {
        self.first_bytes.kind()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    text_of_any_length(headers, name).map(|text| text.get(..MAX_VALUE_BYTES).unwrap_or(text))
}

/// ASCII, as the value of a header otherwise has no defined encoding.
fn text_of_any_length<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The schemes of all challenges, without their parameters and tokens.
///
/// RFC 9110, section 11.6.1: a field has a list of challenges, whose parameters are separated by commas, too.
fn challenges(headers: &HeaderMap) -> Vec<String> {
    let fields = headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .chain(headers.get_all(header::PROXY_AUTHENTICATE))
        .filter_map(|field| field.to_str().ok());
    let mut schemes = Vec::new();
    for field in fields {
        for part in split_outside_quotes(field) {
            // A scheme is followed by a space or ends the part; a parameter's name is followed by `=`.
            let scheme = part.split_whitespace().next().unwrap_or_default();
            let parameter = part.trim_start()[scheme.len()..]
                .trim_start()
                .starts_with('=');
            if is_authentication_scheme(scheme) && !parameter {
                schemes.push(scheme.to_owned());
            }
        }
    }
    schemes.dedup();
    schemes
}

fn is_authentication_scheme(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_SCHEME_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The parts between commas that are in no quoted string.
fn split_outside_quotes(field: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    field.split(move |char| {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        char == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};

    use super::*;

    fn facts(status: u16, headers: &[(&'static str, &'static str)]) -> ResponseFacts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, HeaderValue::from_static(value));
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
        ResponseFacts::of(&head, &"http://a.example/items/7".parse().unwrap())
    }

    #[test]
    fn of_a_challenge_only_the_scheme_is_kept() {
        for (challenge, schemes) in [
            ("Bearer", "Bearer"),
            (
                "Bearer realm=\"a, Secret b\", error=\"invalid_token\"",
                "Bearer",
            ),
            ("Negotiate c2VjcmV0==", "Negotiate"),
            (
                "Basic realm=\"x\", Digest realm=\"y\\\", Z w\", nonce = \"n\"",
                "Basic, Digest",
            ),
            ("AWS4-HMAC-SHA256 Credential=k", "AWS4-HMAC-SHA256"),
            ("secret=1, key = 2", ""),
            ("c2VjcmV0_not-a-scheme", ""),
        ] {
            let facts = facts(401, &[("www-authenticate", challenge)]);
            assert_eq!(facts.challenges.join(", "), schemes, "{challenge}");
        }
    }

    #[test]
    fn the_advice_depends_on_the_status() {
        let advice = |status, headers| facts(status, headers).advice("7");
        let location = [(
            "location",
            "https://user:secret@b.example/items/7?token=secret#secret",
        )];
        let redirects = advice(308, &location).unwrap();
        let target = "the upstream redirects to https://b.example/items/{x} with status 308;";
        assert!(redirects.starts_with(target), "{redirects}");
        assert_eq!(advice(304, &[]), None);
        assert_eq!(advice(200, &location), None);
        let challenge = [("www-authenticate", "Bearer error=\"invalid_token\"")];
        assert!(
            advice(401, &challenge)
                .unwrap()
                .contains("expects the scheme Bearer;")
        );
        assert!(advice(403, &[]).unwrap().contains("states no scheme;"));
        assert!(advice(206, &[]).unwrap().contains("a part of its answer"));
        assert_eq!(advice(500, &challenge), None);
    }

    #[test]
    fn retry_after_is_that_of_a_failure() {
        let after = |status| facts(status, &[("retry-after", "7")]).retry_after();
        for status in [429, 503, 413, 500] {
            assert_eq!(after(status), Some(Duration::from_secs(7)), "{status}");
        }
        for status in [200, 301] {
            assert_eq!(after(status), None, "{status}");
        }
    }
}
