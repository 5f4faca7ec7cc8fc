//! What a guest may reach, and how. Every request of a guest passes through here.
//!
//! Every request of a guest is sent from here, once the [`UpstreamPolicy`] has allowed it, over a connection of the
//! client's own pool. The host limits its size and time, regardless of what the guest sets. A request follows no
//! redirect, is not retried once it was written, and ends with its flight.

mod address;
mod allow_rule;
mod body;
mod connect;
mod denial;
mod failure;
mod policy;
mod request;
mod resolve;
mod timeouts;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

pub use self::allow_rule::{AllowRule, AllowRuleError};
pub use self::policy::UpstreamPolicy;
pub(crate) use self::request::is_forbidden_header;
pub use self::resolve::{Resolve, SystemResolver};
pub use self::tls::{Roots, RootsError};

use self::body::{CappedBody, Expiry, LengthCheckedBody};
use self::connect::{Connector, max_requests_in_flight};
use self::failure::RequestFailure;
use self::timeouts::Timeouts;
use crate::flight_context::RequestGuard;
use crate::model::Limits;

/// The flow-control window of one HTTP/2 stream, in bytes: 256 KiB. A connection's window is that of all its streams
/// together, so a guest that does not read its response stalls no other.
const STREAM_WINDOW: u32 = 256 << 10;

/// Sends the requests of one client's guests. Its connections are its own, so that none that was opened under one
/// policy serves another.
pub(crate) struct Upstream {
    http: Client<Connector, LengthCheckedBody>,
    connector: Connector,
    policy: Arc<UpstreamPolicy>,
    limits: Limits,
    /// One permit per request in flight, so per connection in use.
    permits: Arc<Semaphore>,
    /// Requests so far that the policy allowed.
    sent: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(policy: &UpstreamPolicy, limits: &Limits) -> Self {
        let policy = Arc::new(policy.clone());
        let connector = Connector::new(Arc::clone(&policy), limits);
        let max_requests = max_requests_in_flight(limits);
        let streams = u32::try_from(max_requests).unwrap_or(u32::MAX);
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_timeout)
            .pool_max_idle_per_host(max_requests)
            .http1_max_buf_size(limits.max_header_bytes.max(8 << 10))
            // Above the limit that is checked below, so that a section just over it is reported by its size and not
            // as a broken stream.
            .http2_max_header_list_size(
                u32::try_from(limits.max_header_bytes.saturating_mul(16)).unwrap_or(u32::MAX),
            )
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(
                STREAM_WINDOW.saturating_mul(streams).min((1 << 31) - 1),
            )
            // A request that times out leaves its connection in the pool. Pings find a connection that has gone dead,
            // which would otherwise fail every request after it.
            .http2_keep_alive_interval(limits.connect_timeout)
            .http2_keep_alive_timeout(limits.connect_timeout)
            .build(connector.clone());
        Self {
            http,
            connector,
            policy,
            limits: limits.clone(),
            permits: Arc::new(Semaphore::new(max_requests)),
            sent: AtomicU64::new(0),
        }
    }

    /// Requests so far that the policy allowed.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Connections that are open or being opened.
    pub(crate) fn connections(&self) -> usize {
        self.connector.connections()
    }

    /// Sends a guest's request, which `guard` has opened. If all of the client's connections are in use, it waits for
    /// one, and the wait counts against its timeouts. The second value is a future that ends the body at the
    /// deadline; it must be polled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body of its response, closes the connection in use; under HTTP/2 it resets the
    /// stream, and the connection stays open.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        mut guard: RequestGuard,
    ) -> Result<(Response<WasiBody>, impl Future<Output = ()> + use<>), Error> {
        let limits = &self.limits;
        let permitted = request::permitted(request, &self.policy, limits.max_requests, &mut guard);
        let mut request = match permitted {
            Ok(request) => request,
            Err(denial) => return Err(RequestFailure::denied(&denial).end(guard)),
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        guard.sent();
        let timeouts = Timeouts::new(options.unwrap_or_default(), limits);
        let url = request.uri().clone();
        let connection = capture_connection(&mut request);
        let exchange = async {
            // The semaphore is never closed, so this is never an error.
            guard.permit = Arc::clone(&self.permits).acquire_owned().await.ok();
            let response = self.http.request(request).await;
            response.map_err(|error| RequestFailure::no_response(&error))
        };
        let response = match timeouts.enforce(exchange, connection).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let reason = "the upstream switched protocols without an Upgrade in the request";
                Err(RequestFailure::malformed(reason.to_owned()))
            }
            // hyper accepts somewhat more than its limit: it counts bytes that it has read, in chunks.
            Ok(response) if header_bytes(response.headers()) > limits.max_header_bytes => {
                let limit = limits.max_header_bytes;
                let reason = format!("the header section has more than {limit} bytes");
                Err(RequestFailure::header_too_large(reason))
            }
            response => response,
        };
        let (head, incoming) = match response {
            Ok(response) => response.into_parts(),
            Err(failure) => return Err(failure.end(guard)),
        };
        guard.responded(&head, &url);
        let (body, expiry) = CappedBody::new(incoming, limits.max_body_bytes, &timeouts, guard);
        let response = Response::from_parts(head, body.boxed_unsync());
        Ok((response, Expiry::run(expiry)))
    }
}

/// The bytes of a header section, about: HTTP/2 compresses it.
fn header_bytes(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum()
}
