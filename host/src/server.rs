//! HTTP in: `GET /v1/{client}/items?x=KEY`, `/livez` and `/readyz`.
//!
//! The only code that knows status codes. It parses, calls the decorated client and renders; it
//! identifies nobody and keeps nothing.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use percent_encoding::percent_decode;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::Decorated;
use crate::client::{Answer, Client, ClientError, Items, Key, Role, Sharing};
use crate::config::Limits;

/// What is served: one client under its name.
#[derive(Debug)]
pub struct Service<C> {
    name: String,
    client: Decorated<C>,
    /// The longest key taken, in bytes.
    key: usize,
    /// How long flights may go on after the end was asked for.
    grace: Duration,
}

impl<C: Client> Service<C> {
    /// Serves `client` as `name`, with the limits on keys and grace of `limits`.
    pub fn new(name: &str, client: Decorated<C>, limits: &Limits) -> Self {
        Self {
            name: name.to_owned(),
            client,
            key: limits.key,
            grace: limits.grace,
        }
    }

    /// Serves the connections that `listener` accepts until `shutdown` is ready; then accepts no
    /// more, lets open flights land, and returns when all are answered or the grace is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that were accepted go on.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let service = Arc::new(self);
        let connections = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        // With a timer hyper gives up on a connection whose headers do not come; without, never.
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most likely out of descriptors: trying again at once would only spin.
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let service = Arc::clone(&service);
            let respond = service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(service.respond(&request).await) }
            });
            let connection = http.serve_connection(TokioIo::new(stream), respond);
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(listener);
        let grace = service.grace;
        let answered = timeout(grace + Duration::from_secs(1), connections.shutdown());
        let ((), answered) = tokio::join!(service.client.next().drain(sleep(grace)), answered);
        if answered.is_err() {
            tracing::warn!("some connections were still open at the end of the grace");
        }
    }

    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let client = match path[..] {
            ["livez" | "readyz"] => return text(StatusCode::OK, "ok\n"),
            ["v1", client, "items"] => client,
            _ => return Refusal::NoSuchPath.response(),
        };
        if request.method() != Method::GET {
            return Refusal::Method.response();
        }
        if client != self.name {
            return Refusal::UnknownClient(client.to_owned()).response();
        }
        match key(request.uri().query().unwrap_or_default(), self.key) {
            Ok(key) => self.render(self.client.get_items(key).await),
            Err(refusal) => refusal.response(),
        }
    }

    fn render(&self, answer: Answer) -> Response<Full<Bytes>> {
        let mut response = match &answer.result {
            Ok(items) => json(items),
            Err(error) => failure(error),
        };
        // RFC 9211: how the answer was come by.
        let status = answer
            .seat
            .map(|seat| match (self.client.next().sharing(), seat.role) {
                (Sharing::Off, _) => "oneflight; fwd=bypass",
                (Sharing::Coalesced, Role::Leader) => "oneflight; fwd=miss",
                (Sharing::Coalesced, Role::Follower) => "oneflight; fwd=miss; collapsed",
            });
        if let Some(status) = status {
            response
                .headers_mut()
                .insert("cache-status", HeaderValue::from_static(status));
        }
        response
    }
}

/// The key in a query: exactly one `x`, decoded as HTML forms encode it.
fn key(query: &str, limit: usize) -> Result<Key, Refusal> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode(spaced.as_bytes())
            .decode_utf8()
            .map(String::from)
    };
    let mut keys = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| decode(name).is_ok_and(|name| name == "x"));
    match (keys.next(), keys.next()) {
        (None, _) => Err(Refusal::Key(
            "found no x in the query; needed exactly one, ?x=KEY",
        )),
        (_, Some(_)) => Err(Refusal::Key(
            "found x more than once; needed exactly one, ?x=KEY",
        )),
        (Some((_, x)), None) => {
            let x = decode(x).map_err(|_| {
                Refusal::Key("found an x that is not UTF-8; needed UTF-8, percent-encoded")
            })?;
            if x.len() > limit {
                Err(Refusal::KeyTooLong { limit })
            } else {
                Ok(x.into())
            }
        }
    }
}

/// Why a request reaches no client.
#[derive(Debug)]
enum Refusal {
    NoSuchPath,
    Method,
    UnknownClient(String),
    Key(&'static str),
    KeyTooLong { limit: usize },
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        match self {
            Self::NoSuchPath => problem(
                StatusCode::NOT_FOUND,
                "bad-request",
                "no such path; ask GET /v1/{client}/items?x=KEY",
            ),
            Self::Method => {
                let mut response = problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "bad-request",
                    "items are read with GET",
                );
                response
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static("GET"));
                response
            }
            Self::UnknownClient(name) => problem(
                StatusCode::NOT_FOUND,
                "unknown-client",
                &format!("no client is named {name:?} here"),
            ),
            Self::Key(detail) => problem(StatusCode::BAD_REQUEST, "bad-request", detail),
            Self::KeyTooLong { limit } => problem(
                StatusCode::URI_TOO_LONG,
                "key-too-long",
                &format!("a key has {limit} bytes at most"),
            ),
        }
    }
}

/// The answer to a call that brought no items.
fn failure(error: &ClientError) -> Response<Full<Bytes>> {
    let status = match error {
        ClientError::InvalidKey => StatusCode::BAD_REQUEST,
        ClientError::NotFound => StatusCode::NOT_FOUND,
        ClientError::UpstreamStatus(_)
        | ClientError::UpstreamUnavailable
        | ClientError::UpstreamMalformed
        | ClientError::Other
        | ClientError::UpstreamDenied
        | ClientError::UpstreamResponseTooLarge
        | ClientError::GuestTrap
        | ClientError::GuestMalformed
        | ClientError::ResultTooLarge => StatusCode::BAD_GATEWAY,
        ClientError::UpstreamTimeout | ClientError::GuestDeadline => StatusCode::GATEWAY_TIMEOUT,
        ClientError::RateLimited { .. } | ClientError::Overloaded(_) | ClientError::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ClientError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = problem(status, error.code(), &error.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = match error {
            ClientError::RateLimited {
                retry_after: Some(wait),
            } => wait.as_secs(),
            _ => 1,
        };
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, wait.into());
    }
    response
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem {
        title,
        status: status.as_u16(),
        code,
        detail,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    respond_with(status, "application/problem+json", body.into())
}

fn json(items: &Items) -> Response<Full<Bytes>> {
    respond_with(StatusCode::OK, "application/json", items.json())
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond_with(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn respond_with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decoded_as_a_form_encodes_it() {
        let decoded = |query| key(query, 10).unwrap().as_str().to_owned();
        assert_eq!(decoded("x=a+b%2Bc"), "a b+c");
        assert_eq!(decoded("y=1&%78=caf%C3%A9&z"), "café");
        assert_eq!(decoded("x"), "");
    }

    #[test]
    fn a_key_that_is_missing_repeated_not_utf8_or_too_long_is_refused() {
        for query in ["", "y=1", "x=1&x=1", "x=%ff"] {
            assert!(matches!(key(query, 10), Err(Refusal::Key(_))), "{query}");
        }
        assert!(matches!(
            key("x=12345678901", 10),
            Err(Refusal::KeyTooLong { limit: 10 })
        ));
    }
}
