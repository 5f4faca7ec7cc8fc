//! Status codes and problem documents (RFC 9457): what a caller is told when there are no items.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::client::ClientError;

/// Why a request reaches no client.
#[derive(Debug)]
pub(super) enum Refusal {
    NoSuchPath,
    /// Another method than those in `allow`.
    Method {
        allow: &'static str,
    },
    UnknownClient(String),
    /// The client is being loaded for the first time.
    Loading,
    Key(&'static str),
    KeyTooLong {
        limit: usize,
    },
}

impl Refusal {
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        match self {
            Self::NoSuchPath => problem(
                StatusCode::NOT_FOUND,
                "bad-request",
                "no such path; ask GET /v1/{client}/items?x=KEY",
            ),
            Self::Method { allow } => {
                let detail = format!("found another method; needed {allow}");
                let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "bad-request", &detail);
                let headers = response.headers_mut();
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
                response
            }
            Self::UnknownClient(name) => problem(
                StatusCode::NOT_FOUND,
                "unknown-client",
                &format!("no client is named {name:?} here"),
            ),
            Self::Loading => {
                let detail = "the client is still being loaded; try again later";
                let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
                response.headers_mut().insert(header::RETRY_AFTER, 1.into());
                response
            }
            Self::Key(detail) => problem(StatusCode::BAD_REQUEST, "bad-request", detail),
            Self::KeyTooLong { limit } => problem(
                StatusCode::URI_TOO_LONG,
                "key-too-long",
                &format!("a key has {limit} bytes at most"),
            ),
        }
    }
}

/// The answer to a call that brought no items.
pub(super) fn failure(error: &ClientError) -> Response<Full<Bytes>> {
    let status = match error {
        ClientError::InvalidKey => StatusCode::BAD_REQUEST,
        ClientError::NotFound => StatusCode::NOT_FOUND,
        ClientError::UpstreamStatus(_)
        | ClientError::UpstreamUnavailable
        | ClientError::UpstreamMalformed
        | ClientError::Other
        | ClientError::UpstreamDenied(_)
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
    let detail = match error {
        // The reason names hosts and addresses: the operator's to know, and in the log.
        ClientError::UpstreamDenied(_) => "the client asked for what its policy denies".to_owned(),
        _ => error.to_string(),
    };
    let mut response = problem(status, error.code(), &detail);
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
    detail: &'a str,
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
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
