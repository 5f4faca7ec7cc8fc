//! How a registry authenticates, from its `WWW-Authenticate`: by name and password (Basic), or by a token of a token
//! server (Bearer, the "Token Authentication Specification" of the CNCF's distribution).

use ::http::{HeaderMap, HeaderValue, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_auth::parser::ChallengeParser;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::credentials::Secret;
use super::error::OciProblem;

/// The longest answer of a token server. Tokens have a few kilobytes.
pub(super) const MAX_TOKEN_BYTES: usize = 256 << 10;

/// What a registry expects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthScheme {
    /// Nothing.
    None,
    /// A name and a password, in each request.
    Basic,
    /// A token of the server at this URL.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl AuthScheme {
    /// The first that is known in a response with status 401.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE);
        let challenges = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| ChallengeParser::new(value).map_while(Result::ok));
        for challenge in challenges {
            let parameter = |name: &str| {
                let mut parameters = challenge.params.iter();
                let (_, value) = parameters.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
                Some(value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("Basic") {
                return Self::Basic;
            }
            if challenge.scheme.eq_ignore_ascii_case("Bearer")
                && let Some(realm) = parameter("realm")
            {
                let service = parameter("service");
                return Self::Bearer { realm, service };
            }
        }
        Self::None
    }
}

/// The header of a name and a password.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    authorization(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

/// The value of an Authorization header, which nothing prints.
fn authorization(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The request for a token for `scope`, as in `repository:acme/orders:pull`.
pub(super) fn token_request(
    realm: &str,
    service: Option<&str>,
    scope: &str,
    secret: &Secret,
) -> Result<Request<Bytes>, OciProblem> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = format!("scope={}", encode(scope));
    if let Some(service) = service {
        query = format!("service={}&{query}", encode(service));
    }
    let request = match secret {
        Secret::IdentityToken(token) => {
            let token = encode(token);
            let form = format!(
                "grant_type=refresh_token&client_id=oneflight&{query}&refresh_token={token}"
            );
            Request::post(realm)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Bytes::from(form))
        }
        secret => {
            let separator = if realm.contains('?') { '&' } else { '?' };
            let mut request = Request::get(format!("{realm}{separator}{query}"));
            if let Secret::Password { user, password } = secret
                && let Some(basic) = basic(user, password)
            {
                request = request.header(header::AUTHORIZATION, basic);
            }
            request.body(Bytes::new())
        }
    };
    request.map_err(|_| OciProblem::Malformed("a realm that is not a URL".to_owned()))
}

/// The header of the token in the answer of a token server.
pub(super) fn bearer(answer: &[u8]) -> Result<HeaderValue, OciProblem> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(answer).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    let header = token.and_then(|token| authorization(&format!("Bearer {token}")));
    header.ok_or_else(|| OciProblem::Malformed("no token from its token server".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(values: &[&'static str]) -> AuthScheme {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        AuthScheme::of(&headers)
    }

    #[test]
    fn the_first_known_scheme_counts() {
        assert_eq!(scheme(&[]), AuthScheme::None);
        assert_eq!(
            scheme(&["Negotiate", "basic realm=\"a\""]),
            AuthScheme::Basic
        );
        let bearer = AuthScheme::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("registry \"1\"".to_owned()),
        };
        let value = r#"Digest realm="x", Bearer realm="https://auth.example/token",service="registry \"1\"",scope="a:b""#;
        assert_eq!(scheme(&[value]), bearer);
        assert_eq!(scheme(&["Bearer service=\"a\"", "\"\""]), AuthScheme::None);
    }

    #[test]
    fn a_token_is_requested_with_the_password_or_the_identity_token() {
        let password = Secret::Password {
            user: "a".to_owned(),
            password: "b:c".to_owned(),
        };
        let scope = "repository:x/y:pull";
        let request =
            token_request("https://a.example/t?x=1", Some("s&t"), scope, &password).unwrap();
        let expected = "https://a.example/t?x=1&service=s%26t&scope=repository%3Ax%2Fy%3Apull";
        assert_eq!(request.uri(), expected);
        let header = &request.headers()[header::AUTHORIZATION];
        // The base64 of a:b:c.
        assert_eq!(header, "Basic YTpiOmM=");
        assert!(header.is_sensitive());
        let token = Secret::IdentityToken("t+1".to_owned());
        let request = token_request("https://a.example/t", None, scope, &token).unwrap();
        assert_eq!(request.uri(), "https://a.example/t");
        assert!(request.body().ends_with(b"&refresh_token=t%2B1"));
        let anonymous = token_request("https://a.example/t", None, scope, &Secret::None).unwrap();
        assert_eq!(anonymous.headers().len(), 0);
    }

    #[test]
    fn a_token_has_one_of_two_names() {
        for answer in [r#"{"token":"x"}"#, r#"{"access_token":"x","expires_in":1}"#] {
            let header = bearer(answer.as_bytes()).unwrap();
            assert_eq!(header, "Bearer x");
            assert!(header.is_sensitive());
        }
        for answer in ["", "{}", r#"{"token":"a\nb"}"#] {
            assert!(bearer(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
