//! Administration, at an address of its own: a page at `/`, `/livez`, `/readyz`, `/metrics`,
//! `GET /v1/flights`, `GET /v1/live`, `GET /v1/{client}/explain?x=KEY`, `POST /v1/{client}/forget?x=KEY`,
//! `POST /v1/observe?for=TIME`. Keys are shown as hashes, as in the log, but where an observation asks for
//! the keys themselves.
//!
//! Whoever reaches that address may ask, but for what a browser sends for another page that its user looks
//! at. Such a page can name this address as its own (DNS rebinding), so `Host` is looked at; browsers say
//! whose request it is (`Sec-Fetch-Site`), so that is looked at; and it can send a POST anywhere, though not
//! with a header that it was never permitted, so a POST needs one. No answer permits other origins anything.
//! Browsers say whose request it is at loopback and over TLS alone: elsewhere a page can have a GET sent, and
//! reads nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;
use tokio::runtime::Handle;

use super::body::Body;
use super::listener::Listener;
use super::problem::RequestError;
use super::{dashboard, observe, probe, public_api, respond_with};
use crate::client::{Client, Execute};
use crate::model::Call;
use crate::observability::metrics::{Gauges, Metrics};
use crate::registry::{ClientRegistry, Explained, LoadedClient};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const X_ONEFLIGHT: HeaderName = HeaderName::from_static("x-oneflight");

/// The answer to a request that came in at `local`.
pub(super) async fn respond<C: Execute>(
    door: &Listener<C>,
    local: Option<SocketAddr>,
    head: &Parts,
) -> Response<Body> {
    let answered = answer(door, local, head).await;
    let mut response = answered.unwrap_or_else(|refusal| refusal.response());
    // A page of another origin that had it sent can do nothing with it.
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    response
}

async fn answer<C: Execute>(
    door: &Listener<C>,
    local: Option<SocketAddr>,
    head: &Parts,
) -> Result<Response<Body>, RequestError> {
    let clients = &*door.clients;
    if !is_at_home(head, local.map(|local| local.ip())) {
        return Err(RequestError::Forbidden(
            "found a Host that is not this machine's; needed localhost, a loopback address, or the \
             address that is listened on",
        ));
    }
    match head.uri.path() {
        path @ ("/livez" | "/readyz") => {
            reads(head)?;
            Ok(probe(clients, path))
        }
        _ if is_of_another_site(head) => Err(RequestError::Forbidden(
            "found a request that a page of another site had sent; needed one that its user sent, or \
             the page of this address: enter the address in the browser",
        )),
        "/metrics" => {
            reads(head)?;
            Ok(figures(clients, &door.metrics))
        }
        "/v1/flights" => {
            reads(head)?;
            Ok(json(&FlightsReport::of(clients)))
        }
        "/v1/live" => {
            reads(head)?;
            let events = Arc::clone(&door.live).events(door.limits.header_timeout / 2);
            let response = respond_with(StatusCode::OK, "text/event-stream", Bytes::new());
            Ok(response.map(|_| events))
        }
        path if let Some(file) = dashboard::file(path) => {
            reads(head)?;
            Ok(file)
        }
        "/v1/observe" => {
            changes(head)?;
            Ok(json(
                &observe::observed(clients, &door.metrics, head).await?,
            ))
        }
        path => {
            if let Some(name) = public_api::client_of(path, "explain") {
                reads(head)?;
                let (served, key) = asked_for(clients, name, head)?;
                return Ok(json(&served.explain(&key)));
            }
            let name = public_api::client_of(path, "forget").ok_or(RequestError::NoSuchPath {
                paths: "GET /, GET /metrics, GET /v1/flights, GET /v1/live, GET /v1/{client}/explain?x=KEY, \
                        POST /v1/{client}/forget?x=KEY or POST /v1/observe?for=TIME",
            })?;
            changes(head)?;
            let (served, key) = asked_for(clients, name, head)?;
            let forgotten = served.control().forget(&key);
            Ok(json(&Forgotten { forgotten }))
        }
    }
}

/// A client, and one of its keys.
fn asked_for<C: Execute>(
    clients: &ClientRegistry<C>,
    name: &str,
    head: &Parts,
) -> Result<(Arc<LoadedClient<C>>, Call), RequestError> {
    let served = public_api::served(clients, name)?;
    let key = public_api::key(head, &served)?;
    Ok((served, key))
}

fn figures<C: Execute>(clients: &ClientRegistry<C>, metrics: &Metrics) -> Response<Body> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let served = clients.all();
    let now = |served: &Arc<LoadedClient<C>>| Gauges {
        callers: served.control().callers(),
        usage: served.client().usage(),
    };
    let now: Vec<_> = served
        .iter()
        .map(|served| (&*served.settings().name, now(served)))
        .collect();
    let tasks = Handle::current().metrics().num_alive_tasks();
    respond_with(
        StatusCode::OK,
        OPEN_METRICS,
        metrics.text(&now, tasks).into(),
    )
}

/// Whether a request is meant for this machine by every name that it gives: HTTP/2 has it in the
/// request's URI, HTTP/1 in `Host`, and both have at least one.
fn is_at_home(head: &Parts, local: Option<IpAddr>) -> bool {
    let hosts = head.headers.get_all(header::HOST).into_iter();
    let hosts = hosts.map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut named = head
        .uri
        .authority()
        .cloned()
        .map(Some)
        .into_iter()
        .chain(hosts)
        .peekable();
    named.peek().is_some() && named.all(|name| name.is_some_and(|name| is_own(name.host(), local)))
}

/// Whether a host, with or without the brackets of IPv6, is this machine by an address of its own, or by
/// the one name that means nothing else.
fn is_own(host: &str, local: Option<IpAddr>) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| {
            let address = address.to_canonical();
            address.is_loopback() || Some(address) == local.map(|local| local.to_canonical())
        })
}

/// Whether a browser says that a page of another site, or of another port of this one, has it sent.
fn is_of_another_site(head: &Parts) -> bool {
    let sites = head.headers.get_all(SEC_FETCH_SITE).into_iter();
    sites
        .map(HeaderValue::as_bytes)
        .any(|site| !matches!(site, b"none" | b"same-origin"))
}

/// Permits what only looks.
fn reads(head: &Parts) -> Result<(), RequestError> {
    match head.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(RequestError::Method { allow: "GET, HEAD" }),
    }
}

/// Permits what changes something.
fn changes(head: &Parts) -> Result<(), RequestError> {
    if head.method != Method::POST {
        return Err(RequestError::Method { allow: "POST" });
    }
    if !head.headers.contains_key(X_ONEFLIGHT) {
        return Err(RequestError::Forbidden(
            "found no X-Oneflight header; needed one, with any value, which no page in a browser can \
             send",
        ));
    }
    Ok(())
}

/// What is under way.
#[derive(Serialize)]
struct FlightsReport {
    clients: Vec<OfClient>,
}

/// Of one load of a client. One that was replaced is here for as long as it has callers.
#[derive(Serialize)]
struct OfClient {
    client: String,
    generation: String,
    flights: Vec<Flight>,
}

#[derive(Serialize)]
struct Flight {
    key: String,
    #[serde(flatten)]
    flight: Explained,
}

impl FlightsReport {
    fn of<C: Execute>(clients: &ClientRegistry<C>) -> Self {
        let of_client = |served: &Arc<LoadedClient<C>>| {
            let mut flights = Vec::new();
            served.control().visit(|key, flight| {
                flights.push(Flight {
                    key: key.to_string(),
                    flight: Explained::from(flight),
                });
            });
            OfClient {
                client: served.settings().name.clone(),
                generation: served.client().generation().to_string(),
                flights,
            }
        };
        Self {
            clients: clients.all_and_retired().iter().map(of_client).collect(),
        }
    }
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: bool,
}

fn json(document: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(document).unwrap_or_default();
    respond_with(StatusCode::OK, "application/json", body.into())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn is_home(uri: &str, hosts: &[&str]) -> bool {
        let request = hosts.iter().fold(Request::get(uri), |request, host| {
            request.header(header::HOST, *host)
        });
        let (head, ()) = request.body(()).unwrap().into_parts();
        is_at_home(&head, Some("192.0.2.7".parse().unwrap()))
    }

    #[test]
    fn a_request_is_meant_for_this_machine_by_an_address_of_its_own_or_localhost() {
        for host in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]",
            "[::1]:9090",
            "192.0.2.7:9090",
            "[::ffff:192.0.2.7]",
        ] {
            assert!(is_home("/", &[host]), "{host}");
        }
        assert!(is_home("http://localhost:9090/", &[]));
    }

    #[test]
    fn a_request_with_another_name_with_two_or_with_none_is_not() {
        for host in [
            "",
            "rebound.example",
            "localhost.example:80",
            "192.0.2.8",
            "0.0.0.0:9090",
            "[::]:9090",
            "::1",
            "a b",
        ] {
            assert!(!is_home("/", &[host]), "{host:?}");
        }
        assert!(!is_home("/", &[]));
        assert!(!is_home("/", &["localhost", "rebound.example"]));
        assert!(!is_home("http://rebound.example/", &["localhost"]));
    }
}
