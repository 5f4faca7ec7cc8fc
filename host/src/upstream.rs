//! What a guest may reach and how: the only way out of a guest.
//!
//! Every request of a guest passes [`Upstream::send`]: the [`Policy`] is asked, a connection of this
//! client's own pool is used, and size and time are bounded by the host whatever the guest asks for.
//! A request follows no redirect, is not retried once it was written, and ends with its flight.

mod body;
mod connect;
mod policy;

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody};

pub use self::policy::{Origin, Policy};

use self::body::CappedBody;
use self::connect::{ConnectError, Connector};
use self::policy::Target;
use crate::client::{ClientError, Denial, OpenRequest, OutboundRequests};
use crate::config::Limits;

/// What one client's guests reach their upstreams through. Its connections are its own, so that
/// none that was made under one policy serves another.
pub(crate) struct Upstream {
    http: legacy::Client<Connector, WasiBody>,
    policy: Arc<Policy>,
    request: Duration,
    body: usize,
    /// Requests sent so far.
    sent: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(policy: &Policy, limits: &Limits) -> Self {
        let policy = Arc::new(policy.clone());
        let connector = Connector::new(Arc::clone(&policy), limits.connect);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self {
            http,
            policy,
            request: limits.request,
            body: limits.body,
            sent: AtomicU64::new(0),
        }
    }

    /// Requests that passed the policy and were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request of a guest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body of its response, closes the connection it has in use.
    pub(crate) async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        outbound: Arc<Outbound>,
    ) -> Result<Response<WasiBody>, Error> {
        let open = outbound.begin();
        let permitted = Target::of(request.uri()).and_then(|target| self.policy.permit(&target));
        if let Err(denial) = permitted {
            return Err(denied(denial).told(open));
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        // A guest may ask for less time than the host allows, never for more.
        let RequestOptions {
            first_byte_timeout,
            between_bytes_timeout,
            ..
        } = options.unwrap_or_default();
        let deadline = Instant::now() + self.request;
        let first_byte = deadline.min(Instant::now() + first_byte_timeout.unwrap_or(self.request));
        let between = between_bytes_timeout.unwrap_or(self.request);
        match timeout_at(first_byte, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(|body: Incoming| {
                CappedBody::new(body, self.body, deadline, between, open).boxed_unsync()
            })),
            Ok(Err(error)) => Err(self.classify(&error).told(open)),
            Err(_) => Err(timed_out(Error::HttpResponseTimeout).told(open)),
        }
    }

    /// What a failed request is to the flight, and what the guest is told.
    fn classify(&self, error: &legacy::Error) -> Failure {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<ConnectError>() {
                return match cause {
                    ConnectError::Denied(denial) => denied(denial.clone()),
                    ConnectError::TimedOut => timed_out(Error::ConnectionTimeout),
                    ConnectError::Lookup(_) => unavailable(
                        error,
                        Error::DnsError {
                            rcode: None,
                            info_code: None,
                        },
                    ),
                    ConnectError::Dial(_) => unavailable(error, Error::ConnectionRefused),
                    ConnectError::Tls(_) => unavailable(error, Error::TlsProtocolError),
                };
            }
            if cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse_too_large)
            {
                let named = ClientError::UpstreamResponseTooLarge { limit: self.body };
                return Failure(named, Error::HttpResponseHeaderSectionSize(None));
            }
            source = cause.source();
        }
        unavailable(error, Error::ConnectionTerminated)
    }
}

/// A failure on the host's side: what the flight is named after, and what the guest is told.
struct Failure(ClientError, Error);

impl Failure {
    /// Ends `request` with this failure; what is left is for the guest.
    fn told(self, request: Request) -> Error {
        request.failed(self.0);
        self.1
    }
}

fn denied(denial: Denial) -> Failure {
    tracing::warn!(%denial, "the guest's request was refused");
    Failure(
        ClientError::UpstreamDenied(denial),
        Error::HttpRequestDenied,
    )
}

fn timed_out(told: Error) -> Failure {
    Failure(ClientError::UpstreamTimeout, told)
}

fn unavailable(error: &legacy::Error, told: Error) -> Failure {
    tracing::warn!(error = %chain(error), "the upstream is unavailable");
    Failure(ClientError::UpstreamUnavailable, told)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The requests of one flight, as the host saw them end.
#[derive(Debug)]
pub(crate) struct Outbound {
    open: OutboundRequests,
    /// Why the last request failed on the host's side. Written when a request begins (none yet) and
    /// when it fails; read when the guest has ended.
    last_failure: Mutex<Option<ClientError>>,
}

impl Outbound {
    /// Those of the flight that the current task executes.
    pub(crate) fn of_this_flight() -> Arc<Self> {
        let open = OutboundRequests::of_this_flight();
        Arc::new(Self {
            open,
            last_failure: Mutex::default(),
        })
    }

    /// Why the flight's last request failed, where that was the host's doing or seeing.
    pub(crate) fn last_failure(&self) -> Option<ClientError> {
        self.last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn record(&self, failure: Option<ClientError>) {
        *self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn begin(self: &Arc<Self>) -> Request {
        self.record(None);
        Request {
            outbound: Arc::clone(self),
            _open: self.open.open(),
        }
    }
}

/// A request under way, until it is dropped.
struct Request {
    outbound: Arc<Outbound>,
    _open: OpenRequest,
}

impl Request {
    fn failed(self, named: ClientError) {
        self.outbound.record(Some(named));
    }
}

/// Headers that a guest may not set, because they belong to the connection. `Content-Length` is not
/// among them: a guest may announce its body's length and is held to it.
pub(crate) fn is_forbidden_header(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 3] = [
        http::header::TE,
        http::header::TRAILER,
        http::header::EXPECT,
    ];
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || OURS.contains(name)
}
