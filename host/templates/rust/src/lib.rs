//! A client of Oneflight: one request for each call. Sharing, limits and deadlines are the host's.

use std::env;

use serde::Deserialize;
use serde_json::value::RawValue;

use bindings::exports::oneflight::client::items::{Error, Guest, Item};
use bindings::oneflight::client::fetch::{Body, FetchError, Request, Response, fetch};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "client", generate_all });
    export!(Client with_types_in self);
    use super::Client;
}

struct Client;

impl Guest for Client {
    fn get_items(x: String) -> Result<Vec<Item>, Error> {
        let response = get(format!("{}/{}", base_url()?, path_segment(&x)?))?;
        match response.status {
            200 => items(response.body),
            204 => Ok(Vec::new()),
            404 => Err(Error::NotFound),
            // Without a number of seconds, callers get the Retry-After of the response.
            429 => Err(Error::RateLimited(None)),
            status => Err(Error::UpstreamStatus(status)),
        }
    }
}

fn base_url() -> Result<String, Error> {
    let url = env::var("BASE_URL")
        .map_err(|_| Error::Other("expected the setting BASE_URL, got none".to_owned()))?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// The key as one segment of a path. Without encoding, a key could choose another path or add parameters, and even
/// encoded, a segment of dots means another folder.
fn path_segment(key: &str) -> Result<String, Error> {
    if matches!(key, "" | "." | "..") {
        let why = format!("expected a key that can be a segment of a path, got {key:?}");
        return Err(Error::InvalidKey(why));
    }
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    Ok(key.bytes().map(encode).collect())
}

fn get(url: String) -> Result<Response, Error> {
    let request = Request {
        method: "GET".to_owned(),
        url,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
    };
    fetch(&request).map_err(|error| match error {
        FetchError::Denied(why) => Error::Denied(why),
        FetchError::Malformed(why) => Error::UpstreamMalformed(why),
        FetchError::InvalidRequest(why) => Error::Other(why),
        FetchError::Unavailable(why)
        | FetchError::Timeout(why)
        | FetchError::ResponseTooLarge(why) => Error::UpstreamUnavailable(why),
    })
}

/// An element of the array that the upstream returns.
#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

fn items(body: Body) -> Result<Vec<Item>, Error> {
    let Body::Text(text) = body else {
        return Err(Error::UpstreamMalformed("expected UTF-8".to_owned()));
    };
    // A byte-order mark is no part of JSON, but some servers send it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
    elements.into_iter().map(item).collect()
}

/// The element unchanged, with the digits and the spaces that it has.
fn item(element: &RawValue) -> Result<Item, Error> {
    let Element { id } = serde_json::from_str(element.get()).map_err(malformed)?;
    let id = match serde_json::from_str(id.get()).map_err(malformed)? {
        serde_json::Value::String(id) => id,
        serde_json::Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => {
            let why = "expected items with an id that is a string or an integer";
            return Err(Error::UpstreamMalformed(why.to_owned()));
        }
    };
    let body = element.get().to_owned();
    Ok(Item { id, body })
}

fn malformed(error: serde_json::Error) -> Error {
    Error::UpstreamMalformed(error.to_string())
}
