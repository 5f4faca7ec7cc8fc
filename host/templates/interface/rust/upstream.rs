//! Requests to the upstream.

use std::env;
use std::fmt::Display;

use crate::bindings::oneflight::client::fetch::{FetchError, Request, Response, fetch};

/// Sends `GET BASE_URL/segment/...`, and returns the response with any status.
pub fn get(segments: &[&dyn Display]) -> Result<Response, FetchError> {
    let invalid = |why: String| FetchError::InvalidRequest(why);
    let base = env::var("BASE_URL")
        .map_err(|_| invalid("expected the setting BASE_URL, got none".to_owned()))?;
    let mut url = base.trim_end_matches('/').to_owned();
    for segment in segments {
        url.push('/');
        url += &path_segment(&segment.to_string()).map_err(invalid)?;
    }
    fetch(&Request {
        method: "GET".to_owned(),
        url,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
    })
}

/// An argument as one segment of a path. Without encoding, it could choose another path or add parameters, and even
/// encoded, a segment of dots means another folder.
fn path_segment(text: &str) -> Result<String, String> {
    if matches!(text, "" | "." | "..") {
        return Err(format!(
            "expected an argument that can be a segment of a path, got {text:?}"
        ));
    }
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    Ok(text.bytes().map(encode).collect())
}

/// Ends a call whose function is not written yet. Remove it when all of them are.
pub fn unfinished(function: &str, response: Result<Response, FetchError>) -> ! {
    let got = match response {
        Ok(response) => format!("a response with the status {}", response.status),
        Err(error) => format!("{error:?}"),
    };
    panic!("{function} is not written yet: expected an answer from it in src/lib.rs, its request got {got}")
}
