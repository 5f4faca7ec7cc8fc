//! [`Listener`]: one listener, and how many connections it takes at once.
//!
//! A connection past the limit waits in the kernel's backlog. To tell it so would take what has run out:
//! a descriptor, a task, a TLS handshake, and reading what it sends until it has read its answer. Places
//! come free soon, as nobody keeps one without asking for more than three times
//! [`ServerLimits::head_time`], but for an operator who looks at the page or observes, and for HTTP/2's pings.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::connection::Connection;
use super::dashboard_stream::DashboardStream;
use super::tls::Tls;
use crate::client::Execute;
use crate::observability::metrics::Metrics;
use crate::registry::ClientRegistry;
use crate::settings::ServerLimits;

/// Lines that hyper takes in the head of an HTTP/1 request by itself, which it reads without an
/// allocation.
const HEADERS: usize = 100;

/// The least that hyper reads at a time.
const LEAST_HEAD: usize = 8 << 10;

/// Who may ask what at a door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Audience {
    Callers,
    Admin,
}

/// A listener's side of all its connections.
pub(super) struct Listener<C> {
    pub(super) audience: Audience,
    pub(super) clients: Arc<ClientRegistry<C>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) live: Arc<DashboardStream<C>>,
    pub(super) limits: ServerLimits,
    pub(super) tls: Option<Tls>,
    /// HTTP/1, for connections that are known to speak it.
    pub(super) http1: http1::Builder,
    /// Both versions.
    pub(super) either: auto::Builder<TokioExecutor>,
    /// One permit for each connection that may be accepted yet.
    room: Arc<Semaphore>,
}

impl<C: Execute> Listener<C> {
    pub(super) fn new(
        audience: Audience,
        clients: Arc<ClientRegistry<C>>,
        metrics: Arc<Metrics>,
        limits: &ServerLimits,
        tls: Option<Tls>,
    ) -> Arc<Self> {
        let connections = match audience {
            Audience::Callers => limits.max_connections,
            Audience::Admin => limits.max_admin_connections,
        };
        Arc::new(Self {
            audience,
            live: Arc::new(DashboardStream::new(Arc::clone(&clients))),
            clients,
            metrics,
            limits: limits.clone(),
            tls,
            http1: http1(limits),
            either: either(limits),
            room: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// Accepts connections, for ever.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener, finish: &watch::Sender<()>) {
        let mut full = false;
        loop {
            let permit = self.permit(&mut full).await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    Connection::spawn(&self, stream, permit, finish.subscribe());
                }
                Err(error) => {
                    // Most likely out of descriptors: trying again at once would only spin.
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// A connection's place, as soon as there is one. Where it has to be waited for, that is said once
    /// until there is room again.
    async fn permit(&self, full: &mut bool) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.room);
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            *full = false;
            return permit;
        }
        if !std::mem::replace(full, true) {
            tracing::warn!(door = ?self.audience, "as many connections are open as may be; more have to wait");
        }
        room.acquire_owned().await.expect("nobody closes it")
    }
}

/// How HTTP/1 is spoken to those who connect.
fn http1(limits: &ServerLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // With a timer hyper gives up on a connection whose headers do not come; without, never.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(most_bytes(limits))
        .max_header_size(most_bytes(limits));
    if limits.max_headers != HEADERS {
        http.max_headers(limits.max_headers);
    }
    http
}

/// The same, and HTTP/2. What is HTTP/1 after all may have a head of up to twice the length: its size is counted
/// as it was read, and that is in lumps.
fn either(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    let mut one = http.http1();
    one.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(most_bytes(limits));
    if limits.max_headers != HEADERS {
        one.max_headers(limits.max_headers);
    }
    let at_most = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(at_most(limits.max_streams))
        .max_header_list_size(at_most(limits.max_header_bytes));
    http
}

/// Of the head of a request.
fn most_bytes(limits: &ServerLimits) -> usize {
    limits.max_header_bytes.max(LEAST_HEAD)
}
