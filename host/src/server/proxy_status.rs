//! `Proxy-Status` (RFC 9209): which part of the way failed, in words that are registered for all proxies.
//!
//! The problem document says more, in our own.

use http::HeaderValue;

use super::problem::RequestError;
use crate::model::ClientError;

/// Of the answer to a call that brought no items. None where nothing failed: the upstream's answer is
/// that there is nothing, or that it is asked too often.
pub(super) fn of_failure(error: &ClientError) -> Option<HeaderValue> {
    let status = match error {
        ClientError::NotFound | ClientError::RateLimited { .. } => return None,
        ClientError::UpstreamStatus(status) => {
            return HeaderValue::try_from(format!("oneflight; received-status={status}")).ok();
        }
        ClientError::InvalidKey => "oneflight; error=http_request_error",
        ClientError::UpstreamUnavailable => "oneflight; error=destination_unavailable",
        ClientError::UpstreamMalformed => "oneflight; error=http_protocol_error",
        ClientError::UpstreamDenied => "oneflight; error=http_request_denied",
        // Its head, perhaps; that has another name there, and not here.
        ClientError::UpstreamResponseTooLarge => "oneflight; error=http_response_body_size",
        ClientError::UpstreamTimeout => "oneflight; error=http_response_timeout",
        // Nobody tried the upstream for it.
        ClientError::Overloaded(_) => "oneflight; error=proxy_internal_response",
        // The guest is a part of this proxy.
        ClientError::GuestTrap
        | ClientError::GuestMalformed
        | ClientError::GuestDeadline
        | ClientError::ResultTooLarge
        | ClientError::Other
        | ClientError::Cancelled
        | ClientError::Internal => "oneflight; error=proxy_internal_error",
    };
    Some(HeaderValue::from_static(status))
}

/// Of the answer to a request that came to no answer of a client.
pub(super) fn of_refusal(refusal: &RequestError) -> HeaderValue {
    HeaderValue::from_static(match refusal {
        RequestError::UnknownClient(_) => "oneflight; error=destination_not_found",
        RequestError::Loading | RequestError::Observed => {
            "oneflight; error=proxy_internal_response"
        }
        RequestError::CallerDeadline => "oneflight; error=http_response_timeout",
        RequestError::NoSuchPath { .. }
        | RequestError::Method { .. }
        | RequestError::Forbidden(_)
        | RequestError::Malformed(_)
        | RequestError::HeadersTooMany { .. }
        | RequestError::KeyTooLong { .. } => "oneflight; error=http_request_error",
    })
}
