//! RFC 9209, section 2: the `Proxy-Status` of a response names the part that failed, by the error types that are
//! registered for all proxies. The problem details have a more precise code of our own.

use http::HeaderValue;

use super::problem::RequestError;
use crate::model::ClientError;

/// Of a call that failed; `None` for what the upstream itself answered: that there is nothing, or that there are too
/// many requests.
pub(super) fn of_failure(error: &ClientError) -> Option<HeaderValue> {
    let status = match error.named() {
        ClientError::NotFound | ClientError::RateLimited { .. } => return None,
        ClientError::UpstreamStatus { status, .. } => {
            return HeaderValue::try_from(format!("oneflight; received-status={status}")).ok();
        }
        ClientError::InvalidKey | ClientError::UnknownFunction => {
            "oneflight; error=http_request_error"
        }
        ClientError::UpstreamUnavailable => "oneflight; error=destination_unavailable",
        ClientError::UpstreamMalformed => "oneflight; error=http_protocol_error",
        ClientError::UpstreamDenied => "oneflight; error=http_request_denied",
        // The registry has another type for a head that is too large; this error covers both.
        ClientError::UpstreamResponseTooLarge(_) => "oneflight; error=http_response_body_size",
        ClientError::UpstreamTimeout(_) => "oneflight; error=http_response_timeout",
        // No request was sent to the upstream for it.
        ClientError::Overloaded(_) => "oneflight; error=proxy_internal_response",
        // The guest is part of this proxy.
        ClientError::GuestTrap
        | ClientError::GuestMalformed
        | ClientError::GuestDeadline(_)
        | ClientError::ResultTooLarge(_)
        | ClientError::Other
        | ClientError::Client(_)
        | ClientError::Cancelled
        | ClientError::Internal => "oneflight; error=proxy_internal_error",
    };
    Some(HeaderValue::from_static(status))
}

/// Of a request that led to no call.
pub(super) fn of_request_error(error: &RequestError) -> HeaderValue {
    HeaderValue::from_static(match error {
        RequestError::UnknownClient(_) => "oneflight; error=destination_not_found",
        RequestError::Loading
        | RequestError::TooManyObservations
        | RequestError::TooManyDashboards
        | RequestError::TooManyConnections
        | RequestError::TooManyUnreadBytes
        | RequestError::Overloaded(_) => "oneflight; error=proxy_internal_response",
        RequestError::CallerDeadline => "oneflight; error=http_response_timeout",
        RequestError::UnknownPath { .. }
        | RequestError::Method { .. }
        | RequestError::Forbidden(_)
        | RequestError::Malformed(_)
        | RequestError::UnknownParameter { .. }
        | RequestError::TooManyHeaders { .. }
        | RequestError::KeyTooLong { .. }
        | RequestError::UnknownFunction(_)
        | RequestError::Arguments(_)
        | RequestError::Call(_)
        | RequestError::NotShared { .. }
        | RequestError::NotJson
        | RequestError::BodyTooLarge { .. }
        | RequestError::SlowBody => "oneflight; error=http_request_error",
    })
}
