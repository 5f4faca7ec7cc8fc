//! The HTTP server, and the only module that knows status codes: [`Service`] serves callers at one address and
//! administration at another, until it is shut down.
//!
//! # Shutdown
//!
//! When the shutdown starts, `/readyz` fails and everything else continues for [`ServerLimits::shutdown_delay`], so
//! that load balancers stop sending callers first. Then no flight is opened any more; open flights may still be
//! joined, and land. After [`ServerLimits::shutdown_grace`] the remaining flights are cancelled, and their callers
//! get that error. When no caller waits any more, the service accepts no more connections, responds to the requests
//! that it has read, and returns.

mod activity;
mod admin_api;
mod arguments_body;
mod body;
mod connection;
mod dashboard;
mod dashboard_stream;
mod host;
mod listener;
mod open_connections;
mod preferences;
mod probe;
mod problem;
mod proxy_protocol;
mod proxy_status;
mod public_api;
mod query;
mod request_id;
mod response;
mod socket;
mod target;
mod tls;

use std::convert::Infallible;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use self::socket::ServiceSocket;
pub use self::tls::{Tls, TlsError};

use self::admin_api::AdminApi;
use self::connection::{Handler, HttpServer};
use self::listener::{Listener, ListenerName};
use self::public_api::PublicApi;
use crate::client::Execute;
use crate::observability::metrics::Metrics;
use crate::registry::ClientRegistry;
use crate::settings::ServerLimits;
use crate::unread::UnreadBudget;

/// A service of clients over HTTP.
#[derive(Debug)]
pub struct Service<C> {
    clients: Arc<ClientRegistry<C>>,
    metrics: Arc<Metrics>,
    limits: ServerLimits,
}

/// The sockets that a service listens on.
#[derive(Debug)]
pub struct Listeners {
    /// For callers, in HTTP/1.1 or HTTP/2.
    pub callers: ServiceSocket,
    /// TLS for the connections of callers. Without it they are unencrypted.
    pub tls: Option<Tls>,
    /// The networks of proxies that state the address of each caller by the PROXY protocol.
    pub proxies: Vec<IpNet>,
    /// The admin listener, if there is one; never encrypted.
    pub admin: Option<ServiceSocket>,
    /// The host names by which the admin API may be requested, in addition to the addresses of this machine.
    pub admin_hosts: Vec<String>,
}

/// Admin connections for probes and scrapes when all others are in use: 8, for two probes and a scrape from each of two
/// machines, with a margin.
const PROBE_CONNECTIONS: usize = 8;

impl Listeners {
    /// Callers only, without TLS.
    #[must_use]
    pub fn new(callers: impl Into<ServiceSocket>) -> Self {
        Self {
            callers: callers.into(),
            tls: None,
            proxies: Vec::new(),
            admin: None,
            admin_hosts: Vec::new(),
        }
    }
}

impl<C: Execute> Service<C> {
    /// A service of `clients`, which may be replaced while it runs. Its admin API exports `metrics`.
    pub fn new(
        clients: Arc<ClientRegistry<C>>,
        metrics: Arc<Metrics>,
        limits: ServerLimits,
    ) -> Self {
        Self {
            clients,
            metrics,
            limits,
        }
    }

    /// Serves `listeners` until `shutdown` is ready, and then shuts down as the module describes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections immediately.
    pub async fn run(&self, listeners: Listeners, shutdown: impl Future<Output = ()>) {
        let Listeners {
            callers,
            tls,
            proxies,
            admin,
            admin_hosts,
        } = listeners;
        // Every connection holds a receiver: it finishes what it has begun when a value is sent, and is closed
        // immediately when the sender is dropped.
        let (finish, _) = watch::channel(());
        let limits = &self.limits;
        let of_connection = limits.max_unread_bytes_per_connection;
        let budget = UnreadBudget::new(limits.max_unread_bytes, of_connection);
        // Of its own, so that neither callers nor slow readers of the admin API take anything from each other.
        let admin_budget = UnreadBudget::new(of_connection, of_connection);
        let accept_callers = {
            let api = PublicApi::new(Arc::clone(&self.clients), &self.limits);
            let budget = Arc::clone(&budget);
            let server = HttpServer::new(api, &self.limits, tls, proxies, budget);
            let name = ListenerName {
                name: "callers",
                limit: "max_connections",
                reserve: 0,
            };
            let limit = self.limits.max_connections;
            accept(Listener::new(callers, name, limit), server, &finish)
        };
        let accept_admin = admin.map(|admin| {
            let (clients, metrics) = (Arc::clone(&self.clients), Arc::clone(&self.metrics));
            let budgets = [&budget, &admin_budget].map(Arc::clone);
            let api = AdminApi::new(clients, metrics, admin_hosts, budgets, &self.limits);
            let server = HttpServer::new(api, &self.limits, None, Vec::new(), admin_budget);
            let name = ListenerName {
                name: "admin",
                limit: "max_admin_connections",
                reserve: PROBE_CONNECTIONS,
            };
            let limit = self.limits.max_admin_connections;
            accept(Listener::new(admin, name, limit), server, &finish)
        });
        let accept_all = async {
            match accept_admin {
                Some(accept_admin) => tokio::join!(accept_callers, accept_admin).0,
                None => accept_callers.await,
            }
        };
        let end = async {
            shutdown.await;
            self.drain().await;
        };
        tokio::select! {
            never = accept_all => match never {},
            () = end => {}
        }
        finish.send_replace(());
        if timeout(self.limits.shutdown_write_timeout, finish.closed())
            .await
            .is_err()
        {
            tracing::warn!("shutdown_write_timeout has passed; open connections are closed");
        }
    }

    /// From the start of the shutdown until no flight is open.
    async fn drain(&self) {
        self.clients.begin_shutdown();
        sleep(self.limits.shutdown_delay).await;
        let cancelled = self.clients.drain(sleep(self.limits.shutdown_grace)).await;
        if cancelled > 0 {
            tracing::warn!(
                cancelled,
                "shutdown_grace has passed; open flights are cancelled"
            );
        }
    }
}

async fn accept(
    listener: Listener,
    server: Arc<HttpServer<impl Handler>>,
    finish: &watch::Sender<()>,
) -> Infallible {
    listener
        .run(|stream, open| server.spawn(stream, open, finish.subscribe()))
        .await
}
