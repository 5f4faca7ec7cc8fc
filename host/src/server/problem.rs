//! Errors as responses: the status, and RFC 9457, section 3: problem details.

use std::fmt::{self, Display};

use http::{HeaderValue, Response, StatusCode, header};

use serde::Serialize;
use serde_json::value::RawValue;

use super::body::Body;
use super::response::respond_with;
use crate::admin_types::ProblemDetails;
use crate::model::{ClientError, RenderedValue, Resource};
use crate::printable::bounded;
use crate::typed::{ArgumentError, ArgumentProblem};

/// Why a request caused no call.
#[derive(Debug)]
pub(super) enum RequestError {
    UnknownPath {
        expected: &'static str,
    },
    Method {
        allow: &'static str,
    },
    UnknownClient(String),
    /// The client is being loaded for the first time.
    Loading,
    /// With what was expected, and what was sent.
    Malformed(&'static str),
    /// The query has a parameter that is none of the `known` ones.
    UnknownParameter {
        name: String,
        known: &'static str,
    },
    /// Web pages must not send it. With what was expected, and what was sent.
    Forbidden(&'static str),
    TooManyObservations,
    TooManyDashboards,
    /// All admin connections are in use; the connection is for probes.
    TooManyConnections,
    /// Other responses of the admin API have not been read.
    TooManyUnreadBytes,
    TooManyHeaders {
        limit: usize,
    },
    KeyTooLong {
        limit: usize,
    },
    /// With the functions that there are.
    UnknownFunction(String),
    Arguments(ArgumentError),
    /// With why a text is no call.
    Call(String),
    /// The function's calls are not shared, so a request of it may have effects.
    NotShared {
        function: String,
    },
    NotJson,
    /// The body is larger than `max_arguments_bytes`.
    BodyTooLarge {
        limit: usize,
    },
    SlowBody,
    /// There is no room for the body.
    Overloaded(Resource),
    /// The caller's own deadline has passed. Its flight continues for the others.
    CallerDeadline,
}

impl RequestError {
    pub(super) fn response(&self) -> Response<Body> {
        let (status, code) = match self {
            Self::UnknownPath { .. } => (StatusCode::NOT_FOUND, "bad-request"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "bad-request"),
            Self::UnknownClient(_) => (StatusCode::NOT_FOUND, "unknown-client"),
            Self::Loading
            | Self::TooManyObservations
            | Self::TooManyDashboards
            | Self::TooManyConnections
            | Self::TooManyUnreadBytes => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Malformed(_) | Self::UnknownParameter { .. } | Self::Call(_) => {
                (StatusCode::BAD_REQUEST, "bad-request")
            }
            Self::Arguments(error) => match error.problem {
                ArgumentProblem::TooLong { .. } => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "arguments-too-long")
                }
                _ => (StatusCode::BAD_REQUEST, "bad-request"),
            },
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "arguments-too-long"),
            Self::UnknownFunction(_) => (StatusCode::NOT_FOUND, "unknown-function"),
            Self::NotShared { .. } => (StatusCode::METHOD_NOT_ALLOWED, "bad-request"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-request"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "bad-request"),
            Self::Overloaded(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "bad-request"),
            Self::TooManyHeaders { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "bad-request")
            }
            Self::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, "key-too-long"),
            Self::CallerDeadline => (StatusCode::GATEWAY_TIMEOUT, "caller-deadline"),
        };
        let mut response = problem(status, code, self, None);
        let headers = response.headers_mut();
        match self {
            Self::Method { allow } => {
                // RFC 9110, section 15.5.6: a 405 response has an Allow header.
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::NotShared { .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Loading
            | Self::TooManyObservations
            | Self::TooManyDashboards
            | Self::TooManyConnections
            | Self::TooManyUnreadBytes
            | Self::Overloaded(_) => {
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
            Self::UnknownPath { expected } => write!(f, "expected {expected}, got another path"),
            Self::Method { allow } => write!(f, "expected the method {allow}, got another one"),
            Self::UnknownClient(name) => write!(f, "there is no client named {name:?}"),
            Self::Loading => f.write_str("the client is still being loaded; try again later"),
            Self::Malformed(detail) | Self::Forbidden(detail) => f.write_str(detail),
            Self::UnknownParameter { name, known } => write!(
                f,
                "expected no parameter but {known} in the query, got {name:?}; remove it"
            ),
            Self::TooManyObservations => f.write_str(
                "the maximum number of concurrent observations is reached; end one, or try again later",
            ),
            Self::TooManyDashboards => f.write_str(
                "the maximum number of open dashboards is reached; close one, or raise max_dashboards and \
                 max_admin_connections, of which dashboards may use half",
            ),
            Self::TooManyConnections => f.write_str(
                "all admin connections are in use; request /livez, /readyz or /metrics, close one, or raise \
                 max_admin_connections",
            ),
            Self::TooManyUnreadBytes => f.write_str(
                "too many responses of the admin API are not read yet; read them, try again later, or raise \
                 max_unread_bytes_per_connection",
            ),
            Self::TooManyHeaders { limit } => {
                write!(f, "expected at most {limit} header lines, got more; send fewer, or raise max_headers")
            }
            Self::KeyTooLong { limit } => {
                write!(f, "expected a key of at most {limit} bytes, got a longer one; send a shorter one, or raise max_key_bytes")
            }
            Self::UnknownFunction(error) | Self::Call(error) => f.write_str(error),
            Self::Arguments(error) => error.fmt(f),
            Self::NotShared { function } => write!(
                f,
                "expected POST for {function}, whose calls are not shared, got GET; send POST with a JSON object, or list \
                 the function in the client's setting share if it only reads"
            ),
            Self::NotJson => f.write_str(
                "expected a body of Content-Type application/json, got another one; send the arguments as a JSON object",
            ),
            Self::BodyTooLarge { limit } => write!(
                f,
                "expected a body of at most {limit} bytes, got a larger one; send less, or raise max_arguments_bytes"
            ),
            Self::SlowBody => f.write_str(
                "expected the body within header_timeout, got a part of it; send it at once, or raise header_timeout",
            ),
            Self::Overloaded(resource) => {
                let remedy = resource.remedy();
                write!(f, "{resource}; try again later, or {remedy}")
            }
            Self::CallerDeadline => {
                f.write_str("there was no answer within the time that the request prefers to wait; raise wait in its header Prefer")
            }
        }
    }
}

/// The response to a call that failed.
pub(super) fn failure(error: &ClientError) -> Response<Body> {
    let status = match error.named() {
        ClientError::InvalidKey => StatusCode::BAD_REQUEST,
        ClientError::NotFound | ClientError::UnknownFunction => StatusCode::NOT_FOUND,
        ClientError::UpstreamStatus { .. }
        | ClientError::UpstreamUnavailable
        | ClientError::UpstreamMalformed
        | ClientError::Other
        | ClientError::Client(_)
        | ClientError::UpstreamDenied
        | ClientError::UpstreamResponseTooLarge(_)
        | ClientError::GuestTrap
        | ClientError::GuestMalformed
        | ClientError::ResultTooLarge(_) => StatusCode::BAD_GATEWAY,
        ClientError::UpstreamTimeout(_) | ClientError::GuestDeadline(_) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        // Not 503, which states that another host could do better: a load balancer would take one host after the other
        // out of service, while the limit is the upstream's.
        ClientError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        ClientError::Overloaded(_) | ClientError::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ClientError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let wait = match error.named() {
        ClientError::RateLimited { retry_after }
        | ClientError::UpstreamStatus { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
        ClientError::Overloaded(_) | ClientError::Cancelled => Some(1),
        _ => None,
    };
    let mut response = problem(status, error.code(), error, error.err());
    if let Some(wait) = wait {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, wait.into());
    }
    response
}

fn problem(
    status: StatusCode,
    code: &'static str,
    detail: &dyn Display,
    err: Option<&RenderedValue>,
) -> Response<Body> {
    /// The details with the value as it was rendered: parsed, it would lose the order of its fields.
    #[derive(Serialize)]
    struct WithValue<'a> {
        #[serde(flatten)]
        details: ProblemDetails,
        #[serde(skip_serializing_if = "Option::is_none")]
        err: Option<&'a RawValue>,
    }
    let details = ProblemDetails {
        title: status.canonical_reason().unwrap_or_default().into(),
        status: status.as_u16(),
        code: code.into(),
        // It may list the functions of a component, or have a type of it, which are long if its author wants it.
        detail: bounded(detail),
        err: None,
    };
    let err = err.and_then(|err| serde_json::from_slice(err.json()).ok());
    let body = serde_json::to_vec(&WithValue { details, err }).unwrap_or_default();
    respond_with(status, "application/problem+json", body.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn details(response: &Response<Body>) -> ProblemDetails {
        let Body::Whole(bytes) = response.body() else {
            panic!("a stream");
        };
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn every_request_error_has_a_status_and_a_code() {
        use RequestError as E;
        for (error, status, code) in [
            (E::UnknownPath { expected: "GET /" }, 404, "bad-request"),
            (E::Method { allow: "GET" }, 405, "bad-request"),
            (E::UnknownClient("a".into()), 404, "unknown-client"),
            (E::Loading, 503, "overloaded"),
            (E::Malformed("x"), 400, "bad-request"),
            (
                E::UnknownParameter {
                    name: "page".into(),
                    known: "x",
                },
                400,
                "bad-request",
            ),
            (E::Forbidden("x"), 403, "bad-request"),
            (E::TooManyObservations, 503, "overloaded"),
            (E::TooManyDashboards, 503, "overloaded"),
            (E::TooManyConnections, 503, "overloaded"),
            (E::TooManyUnreadBytes, 503, "overloaded"),
            (E::TooManyHeaders { limit: 1 }, 431, "bad-request"),
            (E::KeyTooLong { limit: 1 }, 414, "key-too-long"),
            (E::CallerDeadline, 504, "caller-deadline"),
        ] {
            let response = error.response();
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            let expected = ProblemDetails {
                title: response.status().canonical_reason().unwrap().into(),
                status,
                code: code.into(),
                detail: error.to_string(),
                err: None,
            };
            assert_eq!(details(&response), expected);
            assert!(!expected.detail.is_empty(), "{error:?}");
            let retry_after = response.headers().get(header::RETRY_AFTER);
            assert_eq!(retry_after.is_some(), status == 503, "{error:?}");
        }
    }

    #[test]
    fn a_failure_that_an_upstream_may_lift_has_its_retry_after() {
        let after = |seconds: Option<u64>| {
            let retry_after = seconds.map(Duration::from_secs);
            failure(&ClientError::RateLimited { retry_after })
        };
        assert_eq!(after(Some(7)).headers()[header::RETRY_AFTER], "7");
        assert!(!after(None).headers().contains_key(header::RETRY_AFTER));
        let cancelled = failure(&ClientError::Cancelled);
        assert_eq!(cancelled.headers()[header::RETRY_AFTER], "1");
    }
}
