//! HTTP in, and the only code that knows status codes: [`Service`] answers callers at one address and
//! its operator at another, until it is told to end.
//!
//! # The life of a service
//!
//! Told to end, it says that it is not ready and goes on as before for [`FrontLimits::leave`], so that
//! balancers look elsewhere first. Then it opens no flight any more; those that are open may still be
//! joined, and land. At the end of the grace the rest are cancelled, and their callers told. When nobody
//! waits any more, it accepts no more connections, answers what it has read, and returns.

mod admin;
mod front;
mod problem;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::clients::Clients;
use crate::config::FrontLimits;
use crate::metrics::Metrics;

/// What answers callers, and their operator.
#[derive(Debug)]
pub struct Service<C> {
    clients: Arc<Clients<C>>,
    metrics: Arc<Metrics>,
    limits: FrontLimits,
}

/// Who may ask what at a listener.
#[derive(Clone, Copy, Debug)]
enum Door {
    Callers,
    Operator,
}

impl<C: Client> Service<C> {
    /// A service of `clients`, which may be replaced while it runs. Its operator is shown `metrics`.
    pub fn new(clients: Arc<Clients<C>>, metrics: Arc<Metrics>, limits: FrontLimits) -> Self {
        Self {
            clients,
            metrics,
            limits,
        }
    }

    /// Answers the callers that `callers` accepts, and the operator where there is a listener for one,
    /// until `shutdown` is ready; then ends as the module says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that were accepted go on.
    pub async fn run(
        &self,
        callers: TcpListener,
        operator: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) {
        let connections = GracefulShutdown::new();
        let accepting = async {
            let operator = async {
                match operator {
                    Some(listener) => self.accept(listener, Door::Operator, &connections).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(self.accept(callers, Door::Callers, &connections), operator);
        };
        let ending = async {
            shutdown.await;
            self.clients.leave();
            sleep(self.limits.leave).await;
            let cancelled = self.clients.drain(sleep(self.limits.grace)).await;
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
        if timeout(self.limits.write, connections.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some connections were still open at the end");
        }
    }

    /// Accepts connections, for ever.
    async fn accept(&self, listener: TcpListener, door: Door, connections: &GracefulShutdown) {
        let mut http = http1::Builder::new();
        // With a timer hyper gives up on a connection whose headers do not come; without, never.
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time);
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most likely out of descriptors: trying again at once would only spin.
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let (clients, metrics) = (Arc::clone(&self.clients), Arc::clone(&self.metrics));
            let respond = service_fn(move |request: Request<Incoming>| {
                let (clients, metrics) = (Arc::clone(&clients), Arc::clone(&metrics));
                async move {
                    Ok::<_, Infallible>(match door {
                        Door::Callers => front::respond(&clients, &request).await,
                        Door::Operator => admin::respond(&clients, &metrics, &request).await,
                    })
                }
            });
            let connection = http.serve_connection(TokioIo::new(stream), respond);
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = pin!(connection).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
    }
}

/// `/livez`: there is a process that answers. `/readyz`: it is good to send it callers.
fn probe<C: Client>(clients: &Clients<C>, path: &str) -> Response<Full<Bytes>> {
    if path == "livez" || clients.is_ready() {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
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
