//! Requests with bodies that are finished, or not, as the key says.
//!
//! A key is `upload:FRAMING:END:URL`. The request's body is `begun`, except where FRAMING says otherwise:
//!
//! | FRAMING | the request |
//! |---|---|
//! | `chunked` | a POST |
//! | `length` | a POST with the `content-length` of the body |
//! | `empty` | a POST with `content-length: 0` and an empty body |
//! | `get` | a GET |
//! | `bare` | a GET with an empty body |
//!
//! | END | what happens then |
//! |---|---|
//! | `finish` | the body is finished; an item with the outcome |
//! | `trailers` | the same, with the trailer `last: 1` |
//! | `drop` | the body is dropped; an item with the outcome |
//! | `trap`, `spin`, `wait` | the guest traps, loops or waits for ever, with the body open |
//! | `return` | an item, with the body open |
//! | `answered` | an item with the outcome, with the body open |
//! | `answered-wait` | reads the response, then waits for ever, with the body open |
//! | `flood` | reads the response, writes as long as the host accepts it, then waits for ever, with the body open |
//!
//! Before `drop`, `trap`, `spin` and `return` the guest waits for the response to a GET of the URL with `/gate` after it:
//! the upstream sends it once it has the beginning of the body.

use std::time::Duration;
use std::{hint, mem, thread};

use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::OutputStream;

use crate::ask::{self, Ask};

const BODY: &[u8] = b"begun";

/// A body that is open, and the response to its request.
struct Open {
    body: OutgoingBody,
    stream: OutputStream,
    response: FutureIncomingResponse,
}

/// What the guest returns for a key of this table.
pub(crate) fn run(framing: &str, end: &str, url: &str) -> Result<Value, String> {
    let open = begin(framing, url)?;
    if matches!(end, "drop" | "trap" | "spin" | "return") {
        Ask::get(&format!("{url}/gate")).send()?;
    }
    match end {
        "finish" | "trailers" => open.finish(end == "trailers"),
        "drop" => Ok(open.abandon()),
        "trap" => core::arch::wasm32::unreachable(),
        "spin" => loop {
            hint::black_box(());
        },
        "wait" => wait(),
        "return" => {
            mem::forget(open);
            Ok(Value::Null)
        }
        "answered" => Ok(open.answered()),
        "answered-wait" => {
            open.answered();
            wait()
        }
        "flood" => {
            ask::outcome(ask::finish(open.response));
            while open.stream.blocking_write_and_flush(&[b'x'; 4096]).is_ok() {}
            wait()
        }
        other => Err(format!("`{other}` is no end of a body")),
    }
}

fn begin(framing: &str, url: &str) -> Result<Open, String> {
    let (method, length, sent): (_, _, &[u8]) = match framing {
        "chunked" => (Method::Post, None, BODY),
        "length" => (Method::Post, Some(BODY.len()), BODY),
        "empty" => (Method::Post, Some(0), b""),
        "get" => (Method::Get, None, BODY),
        "bare" => (Method::Get, None, b""),
        other => return Err(format!("`{other}` is no framing")),
    };
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "https" {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let headers = Fields::new();
    if let Some(length) = length {
        let length = length.to_string();
        let set = headers.append("content-length", length.as_bytes());
        set.map_err(|reason| format!("header: {reason:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&method).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request
        .set_authority(Some(authority))
        .map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(path))
        .map_err(|()| "path")?;
    let body = request.body().map_err(|()| "body")?;
    let stream = body.write().map_err(|()| "body stream")?;
    let response = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
    if !sent.is_empty() {
        let written = stream.blocking_write_and_flush(sent);
        written.map_err(|reason| format!("body: {reason}"))?;
    }
    Ok(Open {
        body,
        stream,
        response,
    })
}

impl Open {
    fn finish(self, with_trailers: bool) -> Result<Value, String> {
        drop(self.stream);
        let trailers = Fields::new();
        let set = trailers.append("last", b"1");
        set.map_err(|reason| format!("trailers: {reason:?}"))?;
        let finished = OutgoingBody::finish(self.body, with_trailers.then_some(trailers));
        finished.map_err(|code| code.to_string())?;
        Ok(ask::outcome(ask::finish(self.response)))
    }

    fn abandon(self) -> Value {
        drop((self.stream, self.body));
        ask::outcome(ask::finish(self.response))
    }

    /// Reads the response, and leaves the body open for ever.
    fn answered(self) -> Value {
        mem::forget((self.stream, self.body));
        ask::outcome(ask::finish(self.response))
    }
}

fn wait() -> Result<Value, String> {
    thread::sleep(Duration::MAX);
    Ok(Value::Null)
}
