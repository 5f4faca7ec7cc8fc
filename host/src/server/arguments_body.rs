//! [`ArgumentsBody`]: the arguments of a call in the body of a request.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::connection::ConnectionInfo;
use super::problem::RequestError;
use crate::unread::RequestCount;

/// A body that is about to be read. It counts as held for its connection until this value is dropped.
pub(super) struct ArgumentsBody {
    body: Incoming,
    limit: usize,
    timeout: Duration,
    /// Kept with the arguments that are read from the body.
    count: RequestCount,
}

impl ArgumentsBody {
    /// The body of the request of `head`, of at most `limit` bytes, which arrives within `timeout`.
    pub(super) fn new(
        head: &Parts,
        body: Incoming,
        limit: usize,
        timeout: Duration,
        connection: &ConnectionInfo,
    ) -> Result<Self, RequestError> {
        // A page of another origin can send any other type without the consent of this service.
        if !is_json(&head.headers) {
            return Err(RequestError::NotJson);
        }
        let length = body.size_hint().upper().map(usize::try_from);
        let length = match length {
            Some(Ok(length)) if length <= limit => length,
            Some(_) => return Err(RequestError::BodyTooLarge { limit }),
            None => limit,
        };
        let count = connection.budget.begin_arguments(length);
        Ok(Self {
            body,
            limit,
            timeout,
            count: count.map_err(RequestError::Overloaded)?,
        })
    }

    /// Reads all of it. What is returned beside it is to be kept for as long as the bytes, or what they say, are.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the body, which ends the connection.
    pub(super) async fn read(self) -> Result<(Bytes, RequestCount), RequestError> {
        let limit = self.limit;
        let read = Limited::new(self.body, limit).collect();
        match timeout(self.timeout, read).await {
            Err(_) => Err(RequestError::SlowBody),
            Ok(Ok(body)) => Ok((body.to_bytes(), self.count)),
            Ok(Err(error)) if is_too_large(&*error) => Err(RequestError::BodyTooLarge { limit }),
            Ok(Err(_)) => Err(RequestError::Malformed(
                "expected a whole body, got a part of it",
            )),
        }
    }
}

fn is_too_large(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<LengthLimitError>()
}

/// Whether the body is JSON: `application/json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_json() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/json-patch+json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
