//! What a guest may reach, and how. Every request of a guest passes through here.
//!
//! Every request of a guest is sent from here, once the [`UpstreamPolicy`] has allowed it, over a connection of the
//! client's own pool. The host limits its size and time, regardless of what the guest sets. A request follows no
//! redirect and ends with its flight: what the guest has not finished by then is cut, so that it never looks whole. It
//! is written to a second connection only if the upstream did not process it or it may be repeated, see `sender`.

mod address;
mod allow_rule;
mod body;
mod certificate;
mod connect;
mod connect_retry;
mod connection;
mod connection_tasks;
mod cut;
mod denial;
mod dial;
mod failure;
mod identity;
mod interim;
mod policy;
mod proxy;
mod request;
mod request_body;
mod resolve;
mod sender;
mod settings_ack;
mod timeouts;
mod tls;
mod trusted;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, Request, Response, StatusCode};
use wasmtime_wasi_http::{Error, RequestOptions};

pub use self::allow_rule::{AllowRule, AllowRuleError};
pub(crate) use self::body::{CappedBody, Expiry};
pub use self::identity::{ClientIdentity, ClientIdentityError};
pub use self::policy::UpstreamPolicy;
pub use self::proxy::{Proxy, ProxyError};
pub(crate) use self::request::{check_url, is_forbidden_header};
pub(crate) use self::request_body::RequestBody;
pub use self::resolve::{MAX_LOOKUPS, Resolve, SystemResolver};
pub(crate) use self::sender::max_buffered_bytes;
pub use self::tls::{GivenRoots, Roots, RootsError};
pub(crate) use self::trusted::{NoResponse, TrustedConnector};
pub(crate) use self::upload::Uploads;

use self::connect::Connector;
use self::cut::CutReason;
use self::failure::RequestFailure;
use self::proxy::proxy_of;
use self::sender::Sender;
use self::timeouts::Timeouts;
use crate::flight_context::RequestGuard;
use crate::model::Limits;

/// Sends the requests of one client's guests. Its connections are its own, so that none that was opened under one
/// policy serves another.
pub(crate) struct Upstream {
    sender: Sender,
    connector: Connector,
    policy: Arc<UpstreamPolicy>,
    limits: Limits,
    /// Requests so far that the policy allowed.
    sent: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(policy: &UpstreamPolicy, limits: &Limits) -> Self {
        let policy = Arc::new(policy.clone());
        let connector = Connector::new(Arc::clone(&policy), limits);
        Self {
            sender: Sender::new(&connector, limits),
            connector,
            policy,
            limits: limits.clone(),
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
    /// one, and the wait counts against its timeouts. Unless the body is read without a pause, the [`Expiry`] must be
    /// polled, which ends the body at the deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body of its response, closes the connection in use; under HTTP/2 it resets the
    /// stream, and the connection stays open. The body of the request is cut by its [`Uploads`].
    pub(crate) async fn send(
        self: Arc<Self>,
        request: Request<RequestBody>,
        options: Option<RequestOptions>,
        guard: RequestGuard,
    ) -> Result<(Response<CappedBody>, Expiry), Error> {
        let limits = &self.limits;
        let guard = Arc::new(guard);
        let permitted = request::permitted(request, &self.policy, limits, &guard);
        let mut request = match permitted {
            Ok(request) => request,
            Err(denial) => return Err(RequestFailure::denied(&denial).record(&guard)),
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        guard.sent();
        let timeouts = Timeouts::new(options.unwrap_or_default(), limits);
        let url = request.uri().clone();
        let proxy = proxy_of(self.policy.proxy.as_ref(), &url);
        let upload = request.body_mut().begin(&guard, timeouts.deadline);
        let response = self.sender.send(request, &upload, &timeouts, &guard);
        let response = match response.await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let reason = "the upstream switched protocols without an Upgrade in the request";
                Err(RequestFailure::malformed(reason.to_owned()))
            }
            // This status is a proxy's own, and not for the guest.
            Ok(response)
                if proxy.is_some()
                    && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
            {
                Err(RequestFailure::refused_by_proxy(response.status()))
            }
            // hyper accepts somewhat more than its limit: it counts bytes that it has read, in chunks.
            Ok(response) if header_bytes(response.headers()) > limits.max_header_bytes => {
                let limit = limits.max_header_bytes;
                let reason = format!("the header section has more than {limit} bytes");
                Err(RequestFailure::header_too_large(reason))
            }
            Ok(response) if response.headers().len() > limits.max_headers => {
                let count = response.headers().len();
                Err(RequestFailure::too_many_headers(count, limits.max_headers))
            }
            response => response,
        };
        let (head, incoming) = match response {
            Ok(response) => response.into_parts(),
            // A cut is the reason for what follows from it.
            Err(failure) => match upload.cut_reason() {
                // No failure of the request, and no flight that it could be recorded for.
                Some(CutReason::FlightEnded) => return Err(Error::ConnectionTerminated),
                Some(reason) => return Err(RequestFailure::cut(reason).record(&guard)),
                None => {
                    let failure = match &proxy {
                        Some(proxy) => failure.through(proxy),
                        None => failure,
                    };
                    return Err(failure.record(&guard));
                }
            },
        };
        guard.responded(&head, &url);
        let (body, expiry) = CappedBody::new(incoming, limits.max_body_bytes, &timeouts, guard);
        Ok((Response::from_parts(head, body), expiry))
    }
}

/// The bytes of a header section, about: HTTP/2 compresses it.
fn header_bytes(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum()
}
