//! Requests, valid and invalid, and their outcomes.

use std::time::Duration;

use serde_json::{Value, json};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// A request to send.
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    /// Sent unchanged, in place of the URL's path and query.
    pub(crate) path: Option<&'a str>,
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// The method, if there is no body.
    pub(crate) method: Method,
    /// The `content-length` of a body, if it has one, and its real length, in bytes.
    pub(crate) post: Option<(Option<usize>, usize)>,
    /// Whether an empty body is opened and finished before the request is sent, as many HTTP libraries do.
    pub(crate) finished: bool,
    /// Whether the body is dropped instead of finished.
    pub(crate) abandon: bool,
    /// For connecting, the first byte, and between bytes.
    pub(crate) timeouts: Option<Duration>,
}

/// A response whose body was read to its end.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) bytes: usize,
    pub(crate) location: Option<String>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(url: &'a str) -> Self {
        Self {
            url,
            path: None,
            header: None,
            method: Method::Get,
            post: None,
            finished: false,
            abandon: false,
            timeouts: None,
        }
    }

    /// A request with the method of this name, and with an empty body if that is to be finished.
    pub(crate) fn with_method(name: &str, url: &'a str, finished: bool) -> Self {
        Self {
            method: method(name),
            finished,
            ..Self::get(url)
        }
    }

    pub(crate) fn send(self) -> Result<Response, String> {
        self.start().and_then(finish)
    }

    /// Sends the request without waiting for its response.
    pub(crate) fn start(self) -> Result<FutureIncomingResponse, String> {
        let (scheme, rest) = self.url.split_once("://").ok_or("no URL")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let headers = Fields::new();
        if let Some((name, value)) = self.header {
            headers
                .append(name, value.as_bytes())
                .map_err(|reason| format!("header: {reason:?}"))?;
        }
        if let Some((Some(length), _)) = self.post {
            let length = length.to_string();
            headers
                .append("content-length", length.as_bytes())
                .map_err(|reason| format!("header: {reason:?}"))?;
        }
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let request = OutgoingRequest::new(headers);
        request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
        request
            .set_authority(Some(authority))
            .map_err(|()| "authority")?;
        request
            .set_path_with_query(Some(self.path.unwrap_or(path)))
            .map_err(|()| "path")?;
        let options = RequestOptions::new();
        if let Some(timeout) = self.timeouts {
            let nanoseconds = u64::try_from(timeout.as_nanos()).ok();
            options
                .set_connect_timeout(nanoseconds)
                .map_err(|()| "connect timeout")?;
            options
                .set_first_byte_timeout(nanoseconds)
                .map_err(|()| "first byte timeout")?;
            options
                .set_between_bytes_timeout(nanoseconds)
                .map_err(|()| "between bytes timeout")?;
        }
        let Some((_, sent)) = self.post else {
            request.set_method(&self.method).map_err(|()| "method")?;
            if self.finished {
                let body = request.body().map_err(|()| "body")?;
                OutgoingBody::finish(body, None).map_err(|code| code.to_string())?;
            }
            return outgoing_handler::handle(request, Some(options))
                .map_err(|code| code.to_string());
        };
        request.set_method(&Method::Post).map_err(|()| "method")?;
        let body = request.body().map_err(|()| "body")?;
        let future =
            outgoing_handler::handle(request, Some(options)).map_err(|code| code.to_string())?;
        let stream = body.write().map_err(|()| "body stream")?;
        for chunk in vec![b'x'; sent].chunks(4096) {
            if let Err(StreamError::LastOperationFailed(reason)) =
                stream.blocking_write_and_flush(chunk)
            {
                return Err(format!("body: {reason}"));
            }
        }
        drop(stream);
        if self.abandon {
            drop(body);
            return Ok(future);
        }
        OutgoingBody::finish(body, None).map_err(|code| code.to_string())?;
        Ok(future)
    }
}

/// A method by its name.
fn method(name: &str) -> Method {
    match name {
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

/// Waits for the header section of the response.
pub(crate) fn head(future: FutureIncomingResponse) -> Result<IncomingResponse, String> {
    future.subscribe().block();
    let response = future
        .get()
        .ok_or("not ready")?
        .map_err(|()| "taken before")?;
    response.map_err(|code| code.to_string())
}

/// Waits for the response and reads its body to its end.
pub(crate) fn finish(future: FutureIncomingResponse) -> Result<Response, String> {
    let response = head(future)?;
    let location = response.headers().get("location").into_iter().next();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no body stream")?;
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => bytes += chunk.len(),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(reason)) => return Err(format!("body: {reason}")),
        }
    }
    let location = location.and_then(|location| String::from_utf8(location).ok());
    Ok(Response {
        status: response.status(),
        bytes,
        location,
    })
}

/// The body of an item about a request.
pub(crate) fn outcome(response: Result<Response, String>) -> Value {
    match response {
        Ok(response) => json!({ "status": response.status, "bytes": response.bytes }),
        Err(reason) => json!({ "error": reason }),
    }
}
