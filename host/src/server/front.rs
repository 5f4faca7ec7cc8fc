//! What callers ask: `GET /v1/{client}/items?x=KEY`, `/livez`, `/readyz`.
//!
//! It parses, calls the decorated client and renders; it identifies nobody and keeps nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode;

use super::problem::{Refusal, failure};
use super::{probe, respond_with};
use crate::client::{Answer, Client, Key, Role};
use crate::clients::{Clients, Found, Served};
use crate::config::Sharing;

pub(super) async fn respond<C: Client>(
    clients: &Clients<C>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    match answer(clients, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(),
    }
}

async fn answer<C: Client>(
    clients: &Clients<C>,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let name = match path[..] {
        ["livez" | "readyz"] => return Ok(probe(clients, path[0])),
        ["v1", name, "items"] => name,
        _ => return Err(Refusal::NoSuchPath),
    };
    if request.method() != Method::GET {
        return Err(Refusal::Method { allow: "GET" });
    }
    let served = served(clients, name)?;
    let query = request.uri().query().unwrap_or_default();
    let key = key(query, served.settings().limits.key)?;
    let answer = served.client().get_items(key).await;
    Ok(render(&served, &answer))
}

/// The client that a path names.
pub(super) fn served<C: Client>(
    clients: &Clients<C>,
    name: &str,
) -> Result<std::sync::Arc<Served<C>>, Refusal> {
    match clients.find(name) {
        Found::Served(served) => Ok(served),
        Found::Loading => Err(Refusal::Loading),
        Found::Unknown => Err(Refusal::UnknownClient(name.to_owned())),
    }
}

fn render<C: Client>(served: &Served<C>, answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = match &answer.result {
        Ok(items) => respond_with(StatusCode::OK, "application/json", items.json()),
        Err(error) => failure(error),
    };
    // RFC 9211: how the answer was come by.
    let status = answer
        .seat
        .map(|seat| match (served.settings().sharing, seat.role) {
            (Sharing::Observed, _) => "oneflight; fwd=bypass",
            (Sharing::Coalesced { .. }, Role::Leader) => "oneflight; fwd=miss",
            (Sharing::Coalesced { .. }, Role::Follower) => "oneflight; fwd=miss; collapsed",
        });
    if let Some(status) = status {
        let headers = response.headers_mut();
        headers.insert("cache-status", HeaderValue::from_static(status));
    }
    response
}

/// The key in a query: exactly one `x`, decoded as HTML forms encode it.
pub(super) fn key(query: &str, limit: usize) -> Result<Key, Refusal> {
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
