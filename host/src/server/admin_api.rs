//! [`AdminApi`], at a separate address: the dashboard at `/`, `/livez`, `/readyz`, `/metrics`, `GET /v1/flights`,
//! `GET /v1/live`, `GET /v1/{client}/explain?x=KEY`, `POST /v1/{client}/forget?x=KEY`, `POST /v1/observe?for=TIME`.
//! Keys are written as hashes, as in the log, except in an observation with `keys=shown`.
//!
//! It has no authentication: access to the address is access to the API. `guard` refuses requests that web pages
//! send.

mod guard;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::guard::{is_from_other_site, is_local, require_post, require_read};
use super::body::Body;
use super::connection::{ConnectionInfo, Handler};
use super::dashboard;
use super::dashboard_stream::DashboardStream;
use super::open_connections::ConnectionUse;
use super::probe::Probe;
use super::problem::RequestError;
use super::response::{json, respond_with};
use super::target;
use crate::admin_types::{ClientFlights, FlightStatus, FlightsReport, Forgotten, KeyedFlight};
use crate::client::{Client, Execute};
use crate::model::Call;
use crate::observability::metrics::{Gauges, Metrics};
use crate::registry::{ClientRegistry, LoadedClient};
use crate::settings::ServerLimits;
use crate::unread::{ConnectionBudget, UnreadBudget};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// How often a dashboard stream without events gets a comment, at most: proxies close silent connections after 30 s
/// and more.
const MAX_HEARTBEAT: Duration = Duration::from_secs(5);

/// Responds to admin requests.
pub(super) struct AdminApi<C>(Arc<AdminState<C>>);

struct AdminState<C> {
    clients: Arc<ClientRegistry<C>>,
    metrics: Arc<Metrics>,
    dashboard: Arc<DashboardStream<C>>,
    /// How often a dashboard stream without events gets a comment, so that its connection does not count as stalled.
    heartbeat: Duration,
    /// One permit for each dashboard that may still be opened.
    dashboards: Arc<Semaphore>,
    /// Host names, in addition to the addresses of this machine.
    hosts: Vec<String>,
    /// What is held for callers, and for the admin API.
    budgets: [Arc<UnreadBudget>; 2],
}

impl<C: Execute> AdminApi<C> {
    pub(super) fn new(
        clients: Arc<ClientRegistry<C>>,
        metrics: Arc<Metrics>,
        hosts: Vec<String>,
        budgets: [Arc<UnreadBudget>; 2],
        limits: &ServerLimits,
    ) -> Self {
        let dashboards = limits.max_dashboards.min(limits.max_admin_connections / 2);
        Self(Arc::new(AdminState {
            dashboard: Arc::new(DashboardStream::new(Arc::clone(&clients))),
            clients,
            metrics,
            dashboards: Arc::new(Semaphore::new(dashboards.clamp(1, Semaphore::MAX_PERMITS))),
            hosts,
            budgets,
            heartbeat: MAX_HEARTBEAT.min(limits.write_stall_timeout / 2),
        }))
    }
}

impl<C: Execute> Handler for AdminApi<C> {
    fn respond(
        &self,
        head: Parts,
        _: Incoming,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<Body>> + Send + use<C> {
        let state = Arc::clone(&self.0);
        async move {
            let response = state.route(connection, &head).await;
            let mut response = response.unwrap_or_else(|error| error.response());
            // So that a page of another origin cannot use it.
            let headers = response.headers_mut();
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            headers.insert(
                CROSS_ORIGIN_RESOURCE_POLICY,
                HeaderValue::from_static("same-origin"),
            );
            response
        }
    }
}

impl<C: Execute> AdminState<C> {
    async fn route(
        &self,
        connection: ConnectionInfo,
        head: &Parts,
    ) -> Result<Response<Body>, RequestError> {
        let ConnectionInfo {
            local,
            permitted,
            budget,
            ..
        } = connection;
        let held = |response| hold(response, &budget);
        if !is_local(head, local.map(|local| local.ip()), &self.hosts) {
            return Err(RequestError::Forbidden(
                "expected a Host of this machine, got another name; use localhost, a loopback address or the \
                 address of the listener, or add the name to admin_hosts",
            ));
        }
        let path = head.uri.path();
        if let Some(probe) = Probe::at(path) {
            require_read(head)?;
            return Ok(probe.respond(&self.clients));
        }
        if is_from_other_site(head) {
            return Err(RequestError::Forbidden(
                "expected a request of the user or of the dashboard, got one that a page of another site sends; \
                 enter the address in the browser",
            ));
        }
        match path {
            "/metrics" => {
                require_read(head)?;
                held(self.metrics())
            }
            _ if permitted == ConnectionUse::Probes => Err(RequestError::TooManyConnections),
            "/v1/flights" => {
                require_read(head)?;
                held(json(&flights(&self.clients)))
            }
            "/v1/live" => {
                require_read(head)?;
                let permit = Arc::clone(&self.dashboards).try_acquire_owned();
                let permit = permit.map_err(|_| RequestError::TooManyDashboards)?;
                let events =
                    Arc::clone(&self.dashboard).events(self.heartbeat, Arc::clone(&budget));
                let events = events.guarded_by(permit);
                let response = respond_with(StatusCode::OK, "text/event-stream", Bytes::new());
                Ok(response.map(|_| events))
            }
            path if let Some(file) = dashboard::file(path) => {
                require_read(head)?;
                Ok(file)
            }
            "/v1/observe" => {
                require_post(head)?;
                let query = head.uri.query().unwrap_or_default();
                let report = observe::observe(&self.clients, &self.metrics, query).await?;
                held(json(&report))
            }
            path if let Some(name) = target::client_name(path, "explain") => {
                require_read(head)?;
                let (client, call) = self.target(name, head)?;
                held(json(&client.explain(&call)))
            }
            path if let Some(name) = target::client_name(path, "forget") => {
                require_post(head)?;
                let (client, call) = self.target(name, head)?;
                let forgotten = client.control().forget(&call);
                Ok(json(&Forgotten { forgotten }))
            }
            _ => Err(RequestError::UnknownPath {
                expected: "GET /, GET /metrics, GET /v1/flights, GET /v1/live, GET /v1/{client}/explain?x=KEY, \
                           POST /v1/{client}/forget?x=KEY or POST /v1/observe?for=TIME; call=CALL in place of \
                           x=KEY names a call of a typed function",
            }),
        }
    }

    fn target(
        &self,
        name: &str,
        head: &Parts,
    ) -> Result<(Arc<LoadedClient<C>>, Call), RequestError> {
        let client = target::client(&self.clients, name)?;
        let call = target::named_call(head, &client)?;
        Ok((client, call))
    }

    fn metrics(&self) -> Response<Body> {
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let clients = self.clients.all();
        let gauges = |client: &LoadedClient<C>| Gauges {
            callers: client.control().callers(),
            usage: client.client().usage(),
        };
        let gauges: Vec<_> = clients
            .iter()
            .map(|client| (&*client.settings().name, gauges(client)))
            .collect();
        let tasks = Handle::current().metrics().num_alive_tasks();
        let [callers, admin] = &self.budgets;
        self.metrics.set_unread_bytes(callers.held(), admin.held());
        let text = self.metrics.text(&gauges, tasks);
        respond_with(StatusCode::OK, OPEN_METRICS, text.into())
    }
}

/// The same response, whose body counts in the budget of its connection until it is read.
fn hold(
    response: Response<Body>,
    budget: &Arc<ConnectionBudget>,
) -> Result<Response<Body>, RequestError> {
    let (head, body) = response.into_parts();
    let body = match body {
        Body::Whole(bytes) => {
            let held = budget.hold_alone(bytes);
            Body::Whole(held.map_err(|_| RequestError::TooManyUnreadBytes)?)
        }
        stream @ Body::Stream(_) => stream,
    };
    Ok(Response::from_parts(head, body))
}

fn flights<C: Execute>(clients: &ClientRegistry<C>) -> FlightsReport {
    let of_client = |client: &Arc<LoadedClient<C>>| {
        let mut flights = Vec::new();
        client.control().visit(|call, flight| {
            flights.push(KeyedFlight {
                key: call.hashed(),
                flight: FlightStatus::from(flight),
            });
        });
        ClientFlights {
            client: client.settings().name.clone(),
            generation: client.client().generation().to_string(),
            flights,
        }
    };
    let clients = clients.all_and_retired();
    FlightsReport {
        clients: clients.iter().map(of_client).collect(),
    }
}
