//! What callers ask: `GET /v1/{client}/items?x=KEY`, `/livez`, `/readyz`.
//!
//! It parses, calls the decorated client and renders; it identifies nobody and keeps nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use tokio::time::timeout;

use super::body::Body;
use super::preferences::RequestPreferences;
use super::problem::{RequestError, failure};
use super::query::{MalformedQuery, parameter};
use super::{probe, proxy_status, respond_with};
use crate::client::{Client, Execute, Freshness, Reply, Request};
use crate::model::Sharing;
use crate::model::{Call, Role};
use crate::observability::trace::{self, TraceContext};
use crate::registry::{ClientRegistry, Found, LoadedClient};
use crate::settings::ServerLimits;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The answer to a request. Of the request itself, what waits for the answer holds nothing: as long as
/// its head lives, hyper cannot use the buffer again that it was read into, and takes another one.
pub(super) fn respond<C: Execute>(
    clients: &ClientRegistry<C>,
    limits: &ServerLimits,
    head: Parts,
) -> impl Future<Output = Response<Body>> + use<C> {
    let asked = match Asked::of(clients, limits, &head) {
        Ok(Asked::Items(call)) => Either::Left(call.answered()),
        Ok(Asked::Probe(response)) => Either::Right(ready(Ok(response))),
        Err(refusal) => Either::Right(ready(Err(refusal))),
    };
    asked.map(|answered| answered.unwrap_or_else(|refusal| refused(&refusal)))
}

fn refused(refusal: &RequestError) -> Response<Body> {
    let mut response = refusal.response();
    let headers = response.headers_mut();
    headers.insert(PROXY_STATUS, proxy_status::of_refusal(refusal));
    if matches!(refusal, RequestError::CallerDeadline) {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
    }
    response
}

/// What a request asks for.
enum Asked<C> {
    Probe(Response<Body>),
    Items(ItemsRequest<C>),
}

/// A request for the items of a key, and the caller's preferences.
struct ItemsRequest<C> {
    served: Arc<LoadedClient<C>>,
    request: Request,
    wait: Option<Duration>,
    /// The span that it asks from.
    parent: Option<Box<TraceContext>>,
}

impl<C: Execute> Asked<C> {
    fn of(
        clients: &ClientRegistry<C>,
        limits: &ServerLimits,
        head: &Parts,
    ) -> Result<Self, RequestError> {
        well_formed(head, limits)?;
        let path = head.uri.path();
        let name = match path {
            "/livez" | "/readyz" => None,
            path => Some(client_of(path, "items").ok_or(RequestError::NoSuchPath {
                paths: "GET /v1/{client}/items?x=KEY",
            })?),
        };
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(RequestError::Method { allow: "GET, HEAD" });
        }
        let Some(name) = name else {
            return Ok(Self::Probe(probe(clients, path)));
        };
        let served = served(clients, name)?;
        let call = key(head, &served)?;
        let RequestPreferences { wait, anew } = RequestPreferences::of(&head.headers);
        let freshness = if anew && served.allows_fresh() {
            Freshness::New
        } else {
            Freshness::Any
        };
        Ok(Self::Items(ItemsRequest {
            served,
            request: Request { call, freshness },
            wait,
            parent: TraceContext::said_in(&head.headers).map(Box::new),
        }))
    }
}

impl<C: Execute> ItemsRequest<C> {
    async fn answered(self) -> Result<Response<Body>, RequestError> {
        let wait = self.wait;
        let is_fresh = self.request.freshness == Freshness::New;
        // Pinned, so that a request has room for it once, and not for each way to wait for it.
        let call = pin!(async {
            let client = self.served.client();
            trace::under(self.parent, || client.call(self.request)).await
        });
        let answer = match wait {
            None => call.await,
            // The call is dropped with this future, and so leaves its flight. In a box, as few ask for it.
            Some(wait) => Box::pin(timeout(wait, call))
                .await
                .map_err(|_| RequestError::CallerDeadline)?,
        };
        let mut response = render(&answer);
        let headers = response.headers_mut();
        if let Some(info) = answer.flight {
            let bypass = is_fresh || self.served.settings().sharing == Sharing::Observed;
            let status = cache_status(info.role, bypass);
            headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        }
        if wait.is_some() {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
        }
        Ok(response)
    }
}

/// What both versions of HTTP are held to. Of these, hyper counts the lines of HTTP/1 itself.
fn well_formed(head: &Parts, limits: &ServerLimits) -> Result<(), RequestError> {
    if head.headers.len() > limits.max_headers {
        return Err(RequestError::HeadersTooMany {
            limit: limits.max_headers,
        });
    }
    // RFC 9112, section 3.2: a request of HTTP/1.1 has exactly one Host.
    let hosts = head.headers.get_all(header::HOST).iter().count();
    if head.version == Version::HTTP_11 && hosts != 1 {
        return Err(RequestError::Malformed(
            "found no Host, or more than one; needed exactly one",
        ));
    }
    Ok(())
}

/// The client's name in a path `/v1/{client}/{what}`.
pub(super) fn client_of<'a>(path: &'a str, what: &str) -> Option<&'a str> {
    let (name, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    (rest == what).then_some(name)
}

/// The client of that name.
pub(super) fn served<C: Execute>(
    clients: &ClientRegistry<C>,
    name: &str,
) -> Result<Arc<LoadedClient<C>>, RequestError> {
    match clients.find(name) {
        Found::LoadedClient(served) => Ok(served),
        Found::Loading => Err(RequestError::Loading),
        Found::Unknown => Err(RequestError::UnknownClient(name.to_owned())),
    }
}

/// The key that a request for `served` names.
pub(super) fn key<C: Execute>(
    head: &Parts,
    served: &LoadedClient<C>,
) -> Result<Call, RequestError> {
    let query = head.uri.query().unwrap_or_default();
    key_in(query, served.settings().limits.max_key_bytes)
}

fn render(answer: &Reply) -> Response<Body> {
    match &answer.result {
        Ok(outcome) => respond_with(StatusCode::OK, "application/json", outcome.json()),
        Err(error) => {
            let mut response = failure(error);
            if let Some(status) = proxy_status::of_failure(error) {
                response.headers_mut().insert(PROXY_STATUS, status);
            }
            response
        }
    }
}

/// `Cache-Status` (RFC 9211): how an answer was come by, by a caller whose flight passed by all others or
/// did not.
fn cache_status(role: Role, bypass: bool) -> &'static str {
    match role {
        _ if bypass => "oneflight; fwd=bypass",
        Role::Leader => "oneflight; fwd=miss",
        Role::Follower => "oneflight; fwd=miss; collapsed",
    }
}

/// The key in a query: exactly one `x`.
fn key_in(query: &str, limit: usize) -> Result<Call, RequestError> {
    match parameter(query, "x") {
        Ok(Some(x)) if x.len() > limit => Err(RequestError::KeyTooLong { limit }),
        Ok(Some(x)) => Ok(x.into()),
        Ok(None) => Err(RequestError::Malformed(
            "found no x in the query; needed exactly one, ?x=KEY",
        )),
        Err(MalformedQuery::Repeated) => Err(RequestError::Malformed(
            "found x more than once; needed exactly one, ?x=KEY",
        )),
        Err(MalformedQuery::NotUtf8) => Err(RequestError::Malformed(
            "found an x that is not UTF-8; needed UTF-8, percent-encoded",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_missing_repeated_not_utf8_or_too_long_is_refused() {
        for query in ["", "y=1", "x=1&x=1", "x=%ff"] {
            assert!(
                matches!(key_in(query, 10), Err(RequestError::Malformed(_))),
                "{query}"
            );
        }
        assert!(matches!(
            key_in("x=12345678901", 10),
            Err(RequestError::KeyTooLong { limit: 10 })
        ));
    }

    #[test]
    fn a_path_names_its_client_between_the_version_and_what_is_asked() {
        assert_eq!(client_of("/v1/orders/items", "items"), Some("orders"));
        for path in [
            "/v1/orders/items/",
            "/v1/items",
            "/v1//orders/items",
            "/v2/orders/items",
            "items",
        ] {
            assert_eq!(client_of(path, "items"), None, "{path}");
        }
    }
}
