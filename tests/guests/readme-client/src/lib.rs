#[allow(warnings)]
#[rustfmt::skip]
mod bindings;

use std::env;

use bindings::exports::oneflight::client::items::{Error, Guest, Item};
use bindings::oneflight::client::fetch::{Body, FetchError, Request, fetch};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

struct Component;

impl Guest for Component {
    fn get_items(x: String) -> Result<Vec<Item>, Error> {
        // As segments of a path these lead to another place.
        if matches!(x.as_str(), "" | "." | "..") {
            return Err(Error::InvalidKey("expected the id of an item".into()));
        }
        let base = env::var("BASE_URL").map_err(|error| Error::Other(error.to_string()))?;
        let key = utf8_percent_encode(&x, NON_ALPHANUMERIC);
        let response = fetch(&Request {
            method: "GET".into(),
            url: format!("{base}/{key}"),
            headers: vec![("accept".into(), "application/json".into())],
            body: None,
        });
        let response = response.map_err(failed)?;
        match (response.status, response.body) {
            (200, Body::Text(body)) if serde_json::from_str::<Value>(&body).is_ok() => {
                Ok(vec![Item { id: x, body }])
            }
            (200, _) => Err(Error::UpstreamMalformed("expected JSON".into())),
            (404, _) => Err(Error::NotFound),
            // The host adds the time to wait, from the same response.
            (429, _) => Err(Error::RateLimited(None)),
            (status, _) => Err(Error::UpstreamStatus(status)),
        }
    }
}

fn failed(error: FetchError) -> Error {
    match error {
        FetchError::InvalidRequest(text) => Error::Other(text),
        FetchError::Denied(text) => Error::Denied(text),
        FetchError::Malformed(text) => Error::UpstreamMalformed(text),
        FetchError::Unavailable(text)
        | FetchError::Timeout(text)
        | FetchError::ResponseTooLarge(text) => Error::UpstreamUnavailable(text),
    }
}

bindings::export!(Component with_types_in bindings);
