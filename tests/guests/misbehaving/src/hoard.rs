//! Makes the host hold as much as it allows.

use std::mem;
use std::sync::Mutex;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingRequest, Scheme};

use crate::ask::{self, Ask};

/// Requests that this instance keeps beyond its call.
static KEPT: Mutex<Vec<OutgoingRequest>> = Mutex::new(Vec::new());

/// Creates `n` requests and sends none of them. Queues a part of `bytes` in the body of each.
pub(crate) fn unsent(n: usize, bytes: usize) -> Vec<OutgoingRequest> {
    let part = vec![b'x'; bytes];
    let request = || {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body().expect("the first body");
        let stream = body.write().expect("the first stream");
        let allowed = stream.check_write().expect("an open stream");
        let part = &part[..bytes.min(allowed as usize)];
        stream.write(part).expect("as much as is allowed");
        request
    };
    (0..n).map(|_| request()).collect()
}

/// Keeps what [`unsent`] creates for the next call of this instance.
pub(crate) fn keep(n: usize, bytes: usize) {
    KEPT.lock().expect("one thread").extend(unsent(n, bytes));
}

/// Creates `n` sets of header fields with a value of `bytes`.
pub(crate) fn fields(n: usize, bytes: usize) -> Result<(), String> {
    let value = vec![b'x'; bytes];
    for _ in 0..n {
        let fields = Fields::new();
        let appended = fields.append("x-hoard", &value);
        appended.map_err(|reason| format!("{reason:?}"))?;
        mem::forget(fields);
    }
    Ok(())
}

/// Creates `n` requests with a `part` of `bytes`: `path`, `authority`, `both` of these, or `method`.
pub(crate) fn lines(n: usize, bytes: usize, part: &str) -> Result<(), String> {
    let text = "x".repeat(bytes);
    for _ in 0..n {
        let request = OutgoingRequest::new(Fields::new());
        let set = match part {
            "path" => request.set_path_with_query(Some(&format!("/{text}"))),
            "authority" => request.set_authority(Some(&text)),
            "both" => request
                .set_path_with_query(Some(&format!("/{text}")))
                .and_then(|()| request.set_authority(Some(&text))),
            "method" => request.set_method(&Method::Other(text.clone())),
            other => return Err(format!("no part {other}")),
        };
        set.map_err(|()| format!("the host refused the {part}"))?;
        mem::forget(request);
    }
    Ok(())
}

/// Sends `n` GETs of `url` and reads the header sections of the responses, and no body.
pub(crate) fn unread(n: usize, url: &str) -> Result<usize, String> {
    let sent: Vec<_> = (0..n).map(|_| Ask::get(url).start()).collect();
    let heads: Result<Vec<IncomingResponse>, String> = sent
        .into_iter()
        .map(|sent| sent.and_then(ask::head))
        .collect();
    let heads = heads?;
    let n = heads.len();
    mem::forget(heads);
    Ok(n)
}

/// Sends `n` POSTs to `url` whose bodies stay open, and does not wait for the responses.
pub(crate) fn open(n: usize, url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    if scheme != "http" {
        return Err(format!("no scheme {scheme}"));
    }
    for _ in 0..n {
        let request = OutgoingRequest::new(Fields::new());
        request.set_method(&Method::Post).map_err(|()| "method")?;
        request
            .set_scheme(Some(&Scheme::Http))
            .map_err(|()| "scheme")?;
        request
            .set_authority(Some(rest))
            .map_err(|()| "authority")?;
        request
            .set_path_with_query(Some("/"))
            .map_err(|()| "path")?;
        let body = request.body().map_err(|()| "body")?;
        let sent = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
        mem::forget((body, sent));
    }
    Ok(())
}
