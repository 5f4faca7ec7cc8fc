//! A client as a user would write it: from the README, with `cargo component new --lib` and the `wasip2` crate. It gets
//! `UPSTREAM/things/{x}`, which responds with one JSON object, and returns it as one item.
//!
//! It shows that the contract suffices to write a client, and that the host gives its built-in client no privileges.

#[allow(warnings)]
#[rustfmt::skip]
mod bindings;

use std::io::Read;

use bindings::exports::oneflight::client::items::{Error, Guest, Item};
use serde_json::value::RawValue;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

struct Component;

impl Guest for Component {
    fn get_items(x: String) -> Result<Vec<Item>, Error> {
        if x.is_empty()
            || !x
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Error::InvalidKey(
                "letters, digits and hyphens only".to_string(),
            ));
        }
        let upstream = std::env::var("UPSTREAM")
            .map_err(|_| Error::Other("set UPSTREAM to http://HOST[:PORT]".to_string()))?;
        let Some(authority) = upstream.strip_prefix("http://") else {
            return Err(Error::Other("UPSTREAM must start with http://".to_string()));
        };

        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).unwrap();
        request
            .set_authority(Some(authority))
            .map_err(|()| Error::Other("UPSTREAM must end with the host or port".to_string()))?;
        request
            .set_path_with_query(Some(&format!("/things/{x}")))
            .unwrap();

        let future = outgoing_handler::handle(request, None).map_err(failed)?;
        future.subscribe().block();
        let response = future.get().unwrap().unwrap().map_err(failed)?;
        match response.status() {
            200 => {}
            404 => return Err(Error::NotFound),
            // The host adds the time to wait, from the response.
            429 => return Err(Error::RateLimited(None)),
            status => return Err(Error::UpstreamStatus(status)),
        }

        let body = response.consume().unwrap();
        let mut thing = Vec::new();
        body.stream()
            .unwrap()
            .read_to_end(&mut thing)
            .map_err(|error| Error::UpstreamUnavailable(error.to_string()))?;
        // A body that is not JSON, such as a login page, is the upstream's fault and not this client's.
        let thing: Box<RawValue> = serde_json::from_slice(&thing)
            .map_err(|error| Error::UpstreamMalformed(error.to_string()))?;
        Ok(vec![Item {
            id: x,
            body: thing.get().to_string(),
        }])
    }
}

fn failed(code: ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied("see the host's log".to_string()),
        code => Error::UpstreamUnavailable(code.to_string()),
    }
}

bindings::export!(Component with_types_in bindings);
