//! Status codes and problem documents (RFC 9457): what a caller is told when there are no items.

use std::fmt::{self, Display};

use http::{HeaderValue, Response, StatusCode, header};
use serde::{Serialize, Serializer};

use super::body::Body;
use crate::model::ClientError;

/// Why a request came to no answer of a client.
#[derive(Debug)]
pub(super) enum RequestError {
    /// Another path than those.
    NoSuchPath {
        paths: &'static str,
    },
    /// Another method than those in `allow`.
    Method {
        allow: &'static str,
    },
    UnknownClient(String),
    /// The client is being loaded for the first time.
    Loading,
    /// What was found, and what was needed.
    Malformed(&'static str),
    /// What was found, and what was needed, so that no page in a browser can ask.
    Forbidden(&'static str),
    /// As many observations go on as may.
    Observed,
    HeadersTooMany {
        limit: usize,
    },
    KeyTooLong {
        limit: usize,
    },
    /// The caller's own deadline has passed. What it waited for goes on for the others.
    CallerDeadline,
}

impl RequestError {
    pub(super) fn response(&self) -> Response<Body> {
        let (status, code) = match self {
            Self::NoSuchPath { .. } => (StatusCode::NOT_FOUND, "bad-request"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "bad-request"),
            Self::UnknownClient(_) => (StatusCode::NOT_FOUND, "unknown-client"),
            Self::Loading | Self::Observed => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "bad-request"),
            Self::HeadersTooMany { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "bad-request")
            }
            Self::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, "key-too-long"),
            Self::CallerDeadline => (StatusCode::GATEWAY_TIMEOUT, "caller-deadline"),
        };
        let mut response = problem(status, code, self);
        let headers = response.headers_mut();
        match self {
            Self::Method { allow } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Loading | Self::Observed => {
                headers.insert(header::RETRY_AFTER, 1.into());
            }
            _ => (),
        }
        response
    }
}

impl Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPath { paths } => write!(f, "no such path; ask {paths}"),
            Self::Method { allow } => write!(f, "found another method; needed {allow}"),
            Self::UnknownClient(name) => write!(f, "no client is named {name:?} here"),
            Self::Loading => f.write_str("the client is still being loaded; try again later"),
            Self::Malformed(detail) | Self::Forbidden(detail) => f.write_str(detail),
            Self::Observed => f.write_str(
                "found as many observations going on as may; end one, or try again later",
            ),
            Self::HeadersTooMany { limit } => write!(f, "a request has {limit} headers at most"),
            Self::KeyTooLong { limit } => write!(f, "a key has {limit} bytes at most"),
            Self::CallerDeadline => {
                f.write_str("no answer came within the time that the request preferred to wait")
            }
        }
    }
}

/// The answer to a call that brought no items.
pub(super) fn failure(error: &ClientError) -> Response<Body> {
    let status = match error {
        ClientError::InvalidKey => StatusCode::BAD_REQUEST,
        ClientError::NotFound => StatusCode::NOT_FOUND,
        ClientError::UpstreamStatus(_)
        | ClientError::UpstreamUnavailable
        | ClientError::UpstreamMalformed
        | ClientError::Other
        | ClientError::UpstreamDenied
        | ClientError::UpstreamResponseTooLarge
        | ClientError::GuestTrap
        | ClientError::GuestMalformed
        | ClientError::ResultTooLarge => StatusCode::BAD_GATEWAY,
        ClientError::UpstreamTimeout | ClientError::GuestDeadline => StatusCode::GATEWAY_TIMEOUT,
        ClientError::RateLimited { .. } | ClientError::Overloaded(_) | ClientError::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ClientError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = problem(status, error.code(), error);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = match error {
            ClientError::RateLimited {
                retry_after: Some(wait),
            } => wait.as_secs(),
            _ => 1,
        };
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, wait.into());
    }
    response
}

/// The document itself.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    #[serde(serialize_with = "text")]
    detail: &'a dyn Display,
}

/// Written where it stands, without a copy of its own.
fn text<S: Serializer>(text: &&dyn Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

fn problem(status: StatusCode, code: &str, detail: &dyn Display) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem {
        title,
        status: status.as_u16(),
        code,
        detail,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    super::respond_with(status, "application/problem+json", body.into())
}
