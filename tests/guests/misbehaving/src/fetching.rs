//! Requests by `oneflight:client/fetch`.

use serde_json::{Value, json};

use crate::ask::{self, Ask};
use crate::bindings::exports::oneflight::client::items::Error;
use crate::bindings::oneflight::client::fetch::{Body, FetchError, Request, Response, fetch};
use crate::{Answer, grow, item, number, pair};

/// Responses longer than this are described, in bytes.
const SHOWN: usize = 1_000;

/// Does what the key requests, if it is one of these.
pub(crate) fn requests(what: &str, how: &str) -> Answer {
    Some(match what {
        "fetch" => request(how).map(|request| vec![item(0, &outcome(&fetch(&request)))]),
        "fetch-need" => request(how).and_then(|request| {
            let response = fetch(&request).map_err(to_error)?;
            Ok(vec![item(0, &outcome(&Ok(response)))])
        }),
        "fetches" => pair(how, ':').and_then(|(n, how)| {
            let request = request(how)?;
            let (mut ok, mut last) = (0, Value::Null);
            for _ in 0..number(n)? {
                let response = fetch(&request);
                ok += usize::from(response.is_ok());
                last = outcome(&response);
            }
            Ok(vec![item("ok", &json!(ok)), item("last", &last)])
        }),
        "fetch-keep" => pair(how, ':').and_then(|(n, how)| {
            let request = request(how)?;
            let kept: Vec<_> = (0..number(n)?).map(|_| fetch(&request)).collect();
            Ok(vec![item("kept", &json!(kept.len()))])
        }),
        "fetch-grow" => pair(how, ':').and_then(|(bytes, how)| {
            drop(fetch(&request(how)?));
            Ok(vec![item("memory", &json!(grow(number(bytes)?)))])
        }),
        "fetch-large" => pair(how, ':').and_then(|(bytes, url)| {
            let request = Request {
                body: Some(Body::Bytes(vec![b'x'; number(bytes)?])),
                ..post(url)
            };
            Ok(vec![item(0, &outcome(&fetch(&request)))])
        }),
        "fetch-trap" => {
            drop(request(how).map(|request| fetch(&request)));
            core::arch::wasm32::unreachable()
        }
        "fetch-both" => {
            let by_fetch = outcome(&fetch(&get(how)));
            let by_wasi = ask::outcome(Ask::get(how).send());
            Ok(vec![item("fetch", &by_fetch), item("wasi", &by_wasi)])
        }
        _ => return None,
    })
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

fn post(url: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        ..get(url)
    }
}

/// A request from its JSON, `{"method": …, "url": …, "headers": [[…, …], …], "text": …, "bytes": […]}`, or a GET of a URL.
fn request(how: &str) -> Result<Request, Error> {
    if !how.starts_with('{') {
        return Ok(get(how));
    }
    let json: Value =
        serde_json::from_str(how).map_err(|error| Error::InvalidKey(error.to_string()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = json["headers"].as_array().into_iter().flatten();
    let body = match (&json["text"], &json["bytes"]) {
        (Value::String(text), _) => Some(Body::Text(text.clone())),
        (_, Value::Array(bytes)) => {
            let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
            Some(Body::Bytes(bytes.iter().filter_map(byte).collect()))
        }
        _ => None,
    };
    Ok(Request {
        method: json["method"].as_str().unwrap_or("GET").to_owned(),
        url: text(&json["url"]),
        headers: headers
            .map(|header| (text(&header[0]), text(&header[1])))
            .collect(),
        body,
    })
}

/// The body of an item about a request.
fn outcome(response: &Result<Response, FetchError>) -> Value {
    match response {
        Ok(response) => {
            let (kind, bytes) = match &response.body {
                Body::Text(text) => ("text", text.as_bytes()),
                Body::Bytes(bytes) => ("bytes", &**bytes),
            };
            let shown = match &response.body {
                _ if bytes.len() > SHOWN => json!(bytes.len()),
                Body::Text(text) => json!(text),
                Body::Bytes(bytes) => json!(bytes),
            };
            json!({ "status": response.status, "headers": response.headers, kind: shown })
        }
        Err(error) => {
            let (case, text) = match error {
                FetchError::InvalidRequest(text) => ("invalid-request", text),
                FetchError::Denied(text) => ("denied", text),
                FetchError::Unavailable(text) => ("unavailable", text),
                FetchError::Timeout(text) => ("timeout", text),
                FetchError::Malformed(text) => ("malformed", text),
                FetchError::ResponseTooLarge(text) => ("response-too-large", text),
            };
            json!({ "error": case, "text": text })
        }
    }
}

/// As the contract suggests.
fn to_error(error: FetchError) -> Error {
    match error {
        FetchError::InvalidRequest(text) => Error::Other(text),
        FetchError::Denied(text) => Error::Denied(text),
        FetchError::Malformed(text) => Error::UpstreamMalformed(text),
        FetchError::Unavailable(text)
        | FetchError::Timeout(text)
        | FetchError::ResponseTooLarge(text) => Error::UpstreamUnavailable(text),
    }
}
