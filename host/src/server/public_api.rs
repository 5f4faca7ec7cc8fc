//! [`PublicApi`], for callers: `GET /v1/{client}/items?x=KEY`, `GET` or `POST /v1/{client}/[{interface}/]{function}`,
//! `/v1/openapi.json`, `/livez`, `/readyz`.
//!
//! It parses, calls the decorated client and renders; it identifies no caller and stores nothing.

use std::mem::take;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::arguments_body::ArgumentsBody;
use super::body::Body;
use super::connection::{ConnectionInfo, Handler};
use super::preferences::RequestPreferences;
use super::probe::Probe;
use super::problem::{RequestError, failure};
use super::response::respond_with;
use super::{host, proxy_status, request_id, target};
use crate::client::{Client, Execute, Freshness, Reply, Request};
use crate::model::{
    Call, CallSharing, ClientError, Function, RequestId, Resource, Role, Sharing, TypedFunction,
};
use crate::observability::trace::{self, TraceContext};
use crate::openapi;
use crate::registry::{ClientRegistry, LoadedClient};
use crate::settings::ServerLimits;
use crate::unread::ConnectionBudget;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Responds to callers.
pub(super) struct PublicApi<C> {
    clients: Arc<ClientRegistry<C>>,
    max_headers: usize,
    /// The time for the body of a request.
    body_timeout: Duration,
}

impl<C: Execute> PublicApi<C> {
    pub(super) fn new(clients: Arc<ClientRegistry<C>>, limits: &ServerLimits) -> Self {
        let max_headers = limits.max_headers;
        Self {
            clients,
            max_headers,
            body_timeout: limits.header_timeout,
        }
    }

    fn route(
        &self,
        head: &Parts,
        id: Option<&RequestId>,
        connection: &ConnectionInfo,
    ) -> Result<Route<C>, RequestError> {
        self.check(head)?;
        let path = head.uri.path();
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        if let Some(probe) = Probe::at(path) {
            return if is_read {
                Ok(Route::Response(probe.respond(&self.clients)))
            } else {
                Err(RequestError::Method { allow: "GET, HEAD" })
            };
        }
        if path == "/v1/openapi.json" {
            if !is_read {
                return Err(RequestError::Method { allow: "GET, HEAD" });
            }
            return self.openapi(connection).map(Route::Response);
        }
        let Some((name, function)) = target::client_and_function(path) else {
            return Err(RequestError::UnknownPath {
                expected: "/v1/{client}/items?x=KEY or /v1/{client}/{function}",
            });
        };
        let client = target::client(&self.clients, name)?;
        let function = target::function(&client, function)?;
        let arguments = match (&head.method, function) {
            (&Method::GET | &Method::HEAD, Function::GetItems) => {
                CallArguments::Key(target::call(head, &client)?)
            }
            (&Method::GET | &Method::HEAD, Function::Typed(function)) => {
                if function.sharing() == CallSharing::PerCaller {
                    let function = function.to_string();
                    return Err(RequestError::NotShared { function });
                }
                CallArguments::InQuery(target::typed_call(head, &function)?)
            }
            (&Method::POST, Function::Typed(function)) => {
                if head.uri.query().is_some_and(|query| !query.is_empty()) {
                    return Err(RequestError::Malformed(
                        "expected the arguments in the body, got a query; remove the query",
                    ));
                }
                CallArguments::InBody(function)
            }
            (_, Function::GetItems) => {
                return Err(RequestError::Method { allow: "GET, HEAD" });
            }
            (_, Function::Typed(function)) => {
                return Err(RequestError::Method {
                    allow: match function.sharing() {
                        CallSharing::Shared => "GET, HEAD, POST",
                        CallSharing::PerCaller => "POST",
                    },
                });
            }
        };
        Ok(Route::Call(caller(client, head, id, connection), arguments))
    }

    /// Checks what both versions of HTTP have in common; the header lines of HTTP/1 are counted by hyper, too.
    fn check(&self, head: &Parts) -> Result<(), RequestError> {
        let limit = self.max_headers;
        if head.headers.len() > limit {
            return Err(RequestError::TooManyHeaders { limit });
        }
        host::check(head)
    }

    /// What callers can call. It counts as held until it is read.
    fn openapi(&self, connection: &ConnectionInfo) -> Result<Response<Body>, RequestError> {
        let clients = self.clients.all();
        let document = openapi::document(clients.iter().map(|client| client.openapi()));
        let held = connection.budget.hold_alone(document.into());
        let document = held.map_err(RequestError::Overloaded)?;
        Ok(respond_with(StatusCode::OK, "application/json", document))
    }

    /// The response to a call whose arguments are known or in `body`.
    fn answer(
        &self,
        request: CallRequest<C>,
        arguments: CallArguments,
        head: &Parts,
        body: Incoming,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Result<Response<Body>, RequestError>> + Send + use<C> {
        match arguments {
            CallArguments::Key(call) => Either::Left(request.respond(call)),
            // The others in a box: most requests have a key, and their tasks reserve no memory for more.
            CallArguments::InQuery(call) => {
                // Like those in a body: a short query can stand for long arguments.
                let count = connection.budget.begin_arguments(call.arguments().len());
                let answer = async move {
                    let _count = count.map_err(RequestError::Overloaded)?;
                    request.respond(call).await
                };
                Either::Right(answer.boxed())
            }
            CallArguments::InBody(function) => {
                let limit = function.max_arguments_bytes();
                let body = ArgumentsBody::new(head, body, limit, self.body_timeout, connection);
                let answer = async move {
                    let (json, mut count) = body?.read().await?;
                    let call =
                        Call::from_json(&function, &json).map_err(RequestError::Arguments)?;
                    drop(json);
                    // From now on it is the call that is held, which may be longer or shorter than its JSON.
                    count
                        .resize(call.arguments().len())
                        .map_err(RequestError::Overloaded)?;
                    request.respond(call).await
                };
                Either::Right(answer.boxed())
            }
        }
    }
}

impl<C: Execute> Handler for PublicApi<C> {
    fn respond(
        &self,
        head: Parts,
        body: Incoming,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<Body>> + Send + use<C> {
        let id = request_id::of(&head.headers);
        let response = match self.route(&head, id.as_ref(), &connection) {
            Ok(Route::Call(request, arguments)) => {
                Either::Left(self.answer(request, arguments, &head, body, &connection))
            }
            Ok(Route::Response(response)) => Either::Right(ready(Ok(response))),
            Err(error) => Either::Right(ready(Err(error))),
        };
        response.map(move |response| {
            let mut response = response.unwrap_or_else(|error| refuse(&error));
            if let Some(id) = id {
                request_id::add(&mut response, &id);
            }
            response
        })
    }
}

/// A request of the caller of `head`.
fn caller<C: Execute>(
    client: Arc<LoadedClient<C>>,
    head: &Parts,
    id: Option<&RequestId>,
    connection: &ConnectionInfo,
) -> CallRequest<C> {
    let RequestPreferences { wait, fresh } = RequestPreferences::of(&head.headers);
    let freshness = if fresh && client.allows_fresh() {
        Freshness::New
    } else {
        Freshness::Any
    };
    CallRequest {
        client,
        freshness,
        id: id.cloned(),
        caller: connection.caller.map(|caller| caller.ip().to_canonical()),
        connection: Arc::clone(&connection.budget),
        wait,
        parent: TraceContext::extract(&head.headers).map(Box::new),
    }
}

fn refuse(error: &RequestError) -> Response<Body> {
    let mut response = error.response();
    let headers = response.headers_mut();
    headers.insert(PROXY_STATUS, proxy_status::of_request_error(error));
    if matches!(error, RequestError::CallerDeadline) {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
    }
    response
}

/// The route of a request.
enum Route<C> {
    Response(Response<Body>),
    Call(CallRequest<C>, CallArguments),
}

/// The arguments of a call.
enum CallArguments {
    /// It is the key of `get-items`.
    Key(Call),
    /// They were in the query.
    InQuery(Call),
    /// They are in the body, for this function.
    InBody(Arc<TypedFunction>),
}

/// A request for a call, with the caller's preferences.
struct CallRequest<C> {
    client: Arc<LoadedClient<C>>,
    freshness: Freshness,
    id: Option<RequestId>,
    caller: Option<IpAddr>,
    connection: Arc<ConnectionBudget>,
    wait: Option<Duration>,
    /// The caller's span.
    parent: Option<Box<TraceContext>>,
}

impl<C: Execute> CallRequest<C> {
    async fn respond(self, call: Call) -> Result<Response<Body>, RequestError> {
        let wait = self.wait;
        // Whether the caller could join no flight.
        let is_bypassed = self.freshness == Freshness::New
            || self.client.settings().sharing == Sharing::Observed
            || call.function().sharing() == CallSharing::PerCaller;
        let request = Request {
            call,
            freshness: self.freshness,
            id: self.id,
            caller: self.caller,
            connection: Some(Arc::clone(&self.connection)),
        };
        // Pinned here, so that the future stores the call once, and not once for each branch that awaits it.
        let call = pin!(async {
            let client = self.client.client();
            trace::with_parent(self.parent, || client.call(request)).await
        });
        let reply = match wait {
            None => call.await,
            // A timeout drops the call, which so leaves its flight. In a box, because few requests have one.
            Some(wait) => Box::pin(timeout(wait, call))
                .await
                .map_err(|_| RequestError::CallerDeadline)?,
        };
        let flight = reply.flight;
        let mut response = render(reply, &self.connection);
        let headers = response.headers_mut();
        if let Some(info) = flight {
            let status = cache_status(info.role, is_bypassed);
            headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        }
        if wait.is_some() {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
        }
        Ok(response)
    }
}

fn render(reply: Reply, connection: &Arc<ConnectionBudget>) -> Response<Body> {
    match reply.result {
        Ok(outcome) => {
            let json = reply.json.unwrap_or_else(|| outcome.json());
            respond_with(StatusCode::OK, "application/json", json)
        }
        Err(error) => match render_error(&error, connection) {
            Ok(response) => response,
            Err(resource) => failure_of(&ClientError::Overloaded(resource)),
        },
    }
}

/// The response to a call that failed. If it has the value of the error, it counts as held, like an answer.
fn render_error(
    error: &ClientError,
    connection: &Arc<ConnectionBudget>,
) -> Result<Response<Body>, Resource> {
    let mut response = failure_of(error);
    if let (Some(_), Body::Whole(body)) = (error.err(), response.body_mut()) {
        *body = connection.hold_alone(take(body))?;
    }
    Ok(response)
}

fn failure_of(error: &ClientError) -> Response<Body> {
    let mut response = failure(error);
    if let Some(status) = proxy_status::of_failure(error) {
        response.headers_mut().insert(PROXY_STATUS, status);
    }
    response
}

/// RFC 9211, section 2.2: why the request went forward, and whether it was collapsed with others. `bypass` says
/// that the caller could join no flight.
fn cache_status(role: Role, bypass: bool) -> &'static str {
    match role {
        _ if bypass => "oneflight; fwd=bypass",
        Role::Leader => "oneflight; fwd=miss",
        Role::Follower => "oneflight; fwd=miss; collapsed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::ComponentClient;
    use crate::server::open_connections::ConnectionUse;
    use crate::unread::UnreadBudget;

    #[test]
    fn cache_status_says_whether_the_request_was_collapsed_or_could_not_be() {
        assert_eq!(cache_status(Role::Leader, false), "oneflight; fwd=miss");
        assert_eq!(
            cache_status(Role::Follower, false),
            "oneflight; fwd=miss; collapsed"
        );
        for role in [Role::Leader, Role::Follower] {
            assert_eq!(cache_status(role, true), "oneflight; fwd=bypass");
        }
    }

    #[test]
    fn a_request_is_checked_before_it_is_routed() {
        let limits = ServerLimits {
            max_headers: 2,
            ..ServerLimits::default()
        };
        let clients = Arc::new(ClientRegistry::<ComponentClient>::named([]));
        let api = PublicApi::new(clients, &limits);
        let route = |method: Method, path: &str, headers: &[&'static str]| {
            let mut request = http::Request::new(());
            *request.method_mut() = method;
            *request.uri_mut() = path.parse().unwrap();
            for name in headers {
                let value = HeaderValue::from_static("a");
                request.headers_mut().append(*name, value);
            }
            let connection = ConnectionInfo {
                local: None,
                caller: None,
                permitted: ConnectionUse::Any,
                budget: UnreadBudget::new(usize::MAX, usize::MAX).connection(),
            };
            api.route(&request.into_parts().0, None, &connection)
        };
        for method in [Method::GET, Method::HEAD] {
            let routed = route(method, "/livez", &["host", "x"]);
            assert!(matches!(routed, Ok(Route::Response(_))));
        }
        for (method, path, headers, expected) in [
            (
                Method::GET,
                "/livez",
                &["host", "x", "x"][..],
                "max_headers",
            ),
            (Method::GET, "/livez", &["x"], "Host"),
            (Method::POST, "/livez", &["host"], "GET, HEAD"),
            (Method::GET, "/v1/a/items?x=1", &["host"], "named \"a\""),
            (Method::GET, "/v1/a/", &["host"], "/v1/{client}"),
            (Method::POST, "/a", &["host"], "/v1/{client}"),
        ] {
            let Err(refused) = route(method, path, headers) else {
                panic!("{path} is not refused");
            };
            let refused = refused.to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
