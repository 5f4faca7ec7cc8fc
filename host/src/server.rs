//! HTTP in, and the only code that knows status codes: [`Service`] answers callers at one address and
//! its operator at another, until it is told to end.
//!
//! # The life of a service
//!
//! Told to end, it says that it is not ready and goes on as before for [`ServerLimits::leave`], so that
//! balancers look elsewhere first. Then it opens no flight any more; those that are open may still be
//! joined, and land. At the end of the grace the rest are cancelled, and their callers told. When nobody
//! waits any more, it accepts no more connections, answers what it has read, and returns.

mod admin_api;
mod body;
mod connection;
mod dashboard;
mod dashboard_stream;
mod listener;
mod observe;
mod preferences;
mod problem;
mod proxy_status;
mod public_api;
mod query;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use self::tls::Tls;

use self::body::Body;
use self::listener::{Audience, Listener};
use crate::client::Execute;
use crate::observability::metrics::Metrics;
use crate::registry::ClientRegistry;
use crate::settings::ServerLimits;

/// What answers callers, and their operator.
#[derive(Debug)]
pub struct Service<C> {
    clients: Arc<ClientRegistry<C>>,
    metrics: Arc<Metrics>,
    limits: ServerLimits,
}

/// Where a service is reached.
#[derive(Debug)]
pub struct Listeners {
    /// Callers ask here, in HTTP/1.1 or HTTP/2.
    pub callers: TcpListener,
    /// How callers are spoken to in TLS; without, they are spoken to in the clear.
    pub tls: Option<Tls>,
    /// The operator asks here, if anywhere, in the clear.
    pub operator: Option<TcpListener>,
}

impl Listeners {
    /// One door, for callers, in the clear.
    #[must_use]
    pub fn new(callers: TcpListener) -> Self {
        Self {
            callers,
            tls: None,
            operator: None,
        }
    }
}

impl<C: Execute> Service<C> {
    /// A service of `clients`, which may be replaced while it runs. Its operator is shown `metrics`.
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

    /// Answers whoever comes through `doors`, until `shutdown` is ready; then ends as the module says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections at once.
    pub async fn run(&self, doors: Listeners, shutdown: impl Future<Output = ()>) {
        // Every connection holds a receiver. They are told to finish what they have begun, and are cut
        // where the sender is gone.
        let (finish, _) = watch::channel(());
        let door = |audience, tls: Option<Tls>| {
            Listener::new(
                audience,
                Arc::clone(&self.clients),
                Arc::clone(&self.metrics),
                &self.limits,
                tls,
            )
        };
        let accepting = async {
            let operator = async {
                if let Some(listener) = doors.operator {
                    let door = door(Audience::Admin, None);
                    door.accept(listener, &finish).await;
                }
            };
            let callers = door(Audience::Callers, doors.tls);
            tokio::join!(callers.accept(doors.callers, &finish), operator);
        };
        let ending = async {
            shutdown.await;
            self.clients.leave();
            sleep(self.limits.shutdown_delay).await;
            let cancelled = self.clients.drain(sleep(self.limits.shutdown_grace)).await;
            if cancelled > 0 {
                tracing::warn!(
                    cancelled,
                    "flights were still under way at the end of the grace"
                );
            }
        };
        tokio::select! {
            () = accepting => (),
            () = ending => (),
        }
        finish.send_replace(());
        if timeout(self.limits.shutdown_write_timeout, finish.closed())
            .await
            .is_err()
        {
            tracing::warn!("some connections were still open at the end, and are cut");
        }
    }
}

/// `/livez`: there is a process that answers. `/readyz`: it is good to send it callers.
fn probe<C: Execute>(clients: &ClientRegistry<C>, path: &str) -> Response<Body> {
    if path == "/livez" || clients.is_ready() {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond_with(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn respond_with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
