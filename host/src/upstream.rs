//! What a guest may reach and how: the only way out of a guest.
//!
//! Every request of a guest is sent from here: the [`Policy`] is asked, a connection of this
//! client's own pool is used, and size and time are bounded by the host whatever the guest asks for.
//! A request follows no redirect, is not retried once it was written, and ends with its flight.

mod body;
mod connect;
mod outbound;
mod policy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody};

pub(crate) use self::outbound::Outbound;
pub use self::policy::{Origin, Policy};

use self::body::CappedBody;
use self::connect::{ConnectError, Connector};
use self::outbound::OpenRequest;
use self::policy::Target;
use crate::client::{ClientError, Denial};
use crate::config::Limits;

/// Connections that are kept open to one upstream while nobody uses them.
const MOST_IDLE: usize = 32;

/// What one client's guests reach their upstreams through. Its connections are its own, so that
/// none that was made under one policy serves another.
pub(crate) struct Upstream {
    http: legacy::Client<Connector, WasiBody>,
    policy: Arc<Policy>,
    request: Duration,
    body: usize,
    /// One permit per request under way, so per connection in use.
    connections: Arc<Semaphore>,
    /// Requests so far that the allow-list let through.
    sent: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(policy: &Policy, limits: &Limits) -> Self {
        let policy = Arc::new(policy.clone());
        let connector = Connector::new(Arc::clone(&policy), limits.connect);
        let connections = Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS)));
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector);
        Self {
            http,
            policy,
            request: limits.request,
            body: limits.body,
            connections,
            sent: AtomicU64::new(0),
        }
    }

    /// Requests that the allow-list let through.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request of a guest. Where all of the client's connections are in use, it waits for
    /// one, on its own time.
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
        let mut open = outbound.begin();
        let permitted = Target::of(request.uri()).and_then(|target| self.policy.permit(&target));
        if let Err(denial) = permitted {
            return Err(denied(denial).told(open));
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        // A guest may ask for less time than the host allows, never for more. Connecting has a time
        // of its own, since a connection may serve another request in the end.
        let RequestOptions {
            first_byte_timeout,
            between_bytes_timeout,
            ..
        } = options.unwrap_or_default();
        let deadline = Instant::now() + self.request;
        let first_byte = deadline.min(Instant::now() + first_byte_timeout.unwrap_or(self.request));
        let between = between_bytes_timeout.unwrap_or(self.request);
        let exchange = async {
            // The semaphore is never closed, so there is always a permit in the end.
            open.permit = Arc::clone(&self.connections).acquire_owned().await.ok();
            self.http.request(request).await
        };
        match timeout_at(first_byte, exchange).await {
            Ok(Ok(response)) => Ok(response.map(|body: Incoming| {
                CappedBody::new(body, self.body, deadline, between, open).boxed_unsync()
            })),
            Ok(Err(error)) => Err(failure(&error).told(open)),
            Err(_) => Err(late("the first byte", Error::HttpResponseTimeout).told(open)),
        }
    }
}

/// A failure on the host's side.
struct Failure {
    /// What the flight is named after.
    named: ClientError,
    /// What the guest is told.
    told: Error,
    /// What the log says.
    why: String,
}

impl Failure {
    /// Ends `request` with this failure; what is left is for the guest.
    fn told(self, request: OpenRequest) -> Error {
        request.failed(self.named, &self.why);
        self.told
    }
}

/// What a failed request is to the flight, and what the guest is told.
fn failure(error: &legacy::Error) -> Failure {
    let unavailable = |told| Failure {
        named: ClientError::UpstreamUnavailable,
        told,
        why: chain(error),
    };
    for cause in causes(error) {
        if let Some(cause) = cause.downcast_ref::<ConnectError>() {
            return match cause {
                ConnectError::Denied(denial) => denied(denial.clone()),
                ConnectError::TimedOut => late("a connection", Error::ConnectionTimeout),
                ConnectError::Lookup(_) => unavailable(Error::DnsError {
                    rcode: None,
                    info_code: None,
                }),
                ConnectError::Dial(_) => unavailable(Error::ConnectionRefused),
                ConnectError::Tls(_) => unavailable(Error::TlsProtocolError),
            };
        }
        let hyper = cause.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            let told = Error::HttpResponseHeaderSectionSize(None);
            let named = ClientError::UpstreamResponseTooLarge;
            return Failure {
                named,
                told,
                why: chain(error),
            };
        }
    }
    unavailable(Error::ConnectionTerminated)
}

fn denied(denial: Denial) -> Failure {
    let why = denial.to_string();
    Failure {
        named: ClientError::UpstreamDenied(denial),
        told: Error::HttpRequestDenied,
        why,
    }
}

fn late(what: &str, told: Error) -> Failure {
    let why = format!("{what} did not come in time");
    Failure {
        named: ClientError::UpstreamTimeout,
        told,
        why,
    }
}

/// An error, what caused it, what caused that, and so on.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// An error with its causes, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let words: Vec<_> = causes(error).map(ToString::to_string).collect();
    words.join(": ")
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
