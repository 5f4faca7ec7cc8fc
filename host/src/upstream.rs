//! What a guest may reach and how: the only way out of a guest.
//!
//! Every request of a guest is sent from here: the [`Policy`] is asked, a connection of this
//! client's own pool is used, and size and time are bounded by the host whatever the guest asks for.
//! A request follows no redirect, is not retried once it was written, and ends with its flight.

mod address;
mod allow_rule;
mod body;
mod connect;
mod denial;
mod policy;
mod resolve;
mod tls;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody};

pub use self::allow_rule::AllowRule;
pub use self::policy::Policy;
pub use self::resolve::{Resolve, SystemResolver};
pub use self::tls::Roots;

use self::allow_rule::Target;
use self::body::{CappedBody, Expiry, LengthCheckedBody};
use self::connect::{ConnectError, Connector};
use self::denial::Denial;
use crate::flight_context::RequestGuard;
use crate::model::ClientError;
use crate::model::Limits;
use crate::observability::trace::TRACEPARENT;

/// Bytes of one HTTP/2 answer that may be on their way before its guest reads them. A connection's
/// share is that of all requests there can be: a guest that reads nothing holds up none but itself.
const WINDOW: u32 = 256 << 10;

/// What one client's guests reach their upstreams through. Its connections are its own, so that
/// none that was made under one policy serves another.
pub(crate) struct Upstream {
    http: Client<Connector, LengthCheckedBody>,
    connector: Connector,
    policy: Arc<Policy>,
    limits: Limits,
    /// One permit per request under way, so per connection in use.
    requests: Arc<Semaphore>,
    /// Requests so far that the policy let through.
    sent: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(policy: &Policy, limits: &Limits) -> Self {
        let policy = Arc::new(policy.clone());
        let connector = Connector::new(Arc::clone(&policy), limits);
        let most = connect::most_requests(limits);
        let share = u32::try_from(most).unwrap_or(u32::MAX);
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_timeout)
            .pool_max_idle_per_host(most)
            .http1_max_buf_size(limits.max_header_bytes.max(8 << 10))
            // So many that what is only too large is found by its size, and not as a broken stream.
            .http2_max_header_list_size(
                u32::try_from(limits.max_header_bytes.saturating_mul(16)).unwrap_or(u32::MAX),
            )
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW.saturating_mul(share).min((1 << 31) - 1))
            // A request that fails leaves its connection to others: without this, one that leads
            // nowhere any more would fail them all.
            .http2_keep_alive_interval(limits.connect_timeout)
            .http2_keep_alive_timeout(limits.connect_timeout)
            .build(connector.clone());
        Self {
            http,
            connector,
            policy,
            limits: limits.clone(),
            requests: Arc::new(Semaphore::new(most)),
            sent: AtomicU64::new(0),
        }
    }

    /// Requests that the policy let through.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Connections that are open or being made.
    pub(crate) fn connections(&self) -> usize {
        self.connector.open()
    }

    /// Sends a request of a guest, which is open already. Where all of the client's connections are in use, it waits for
    /// one, on its own time. What is returned beside the response ends its body at the deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body of its response, closes the connection it has in use; under
    /// HTTP/2 it resets the stream, and the connection goes on.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        mut open: RequestGuard,
    ) -> Result<(Response<WasiBody>, impl Future<Output = ()> + use<>), Error> {
        let mut request = match self.permitted(request, &mut open) {
            Ok(request) => request,
            Err(denial) => return Err(denied(&denial).end(open)),
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        open.sent();
        let times = Times::new(options.unwrap_or_default(), &self.limits);
        let connected = capture_connection(&mut request);
        let exchange = async {
            // The semaphore is never closed, so there is always a permit in the end.
            open.permit = Arc::clone(&self.requests).acquire_owned().await.ok();
            let response = self.http.request(request).await;
            response.map_err(|error| failure(&error))
        };
        let response = match times.kept(exchange, connected).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(malformed("it left HTTP, which nobody asked for".to_owned()))
            }
            // What hyper takes is a little more: it counts what it has read, and that is read in lumps.
            Ok(response) if size(response.headers()) > self.limits.max_header_bytes => {
                let limit = self.limits.max_header_bytes;
                Err(too_large(format!("the head has more than {limit} bytes")))
            }
            response => response,
        };
        let (head, incoming) = match response {
            Ok(response) => response.into_parts(),
            Err(failure) => return Err(failure.end(open)),
        };
        open.responded(head.status);
        let Times {
            deadline, between, ..
        } = times;
        let (body, expiry) = CappedBody::new(
            incoming,
            self.limits.max_body_bytes,
            deadline,
            between,
            open,
        );
        let response = Response::from_parts(head, body.boxed_unsync());
        Ok((response, Expiry::run(expiry)))
    }

    /// The request as it goes onto the wire, if it may.
    fn permitted(
        &self,
        request: Request<WasiBody>,
        open: &mut RequestGuard,
    ) -> Result<Request<LengthCheckedBody>, Denial> {
        let limit = self.limits.max_requests;
        if open.number() > limit {
            return Err(Denial::TooManyRequests { limit });
        }
        if request.method() == Method::CONNECT {
            return Err(Denial::Tunnel);
        }
        let target = Target::of(request.uri())?;
        self.policy.permit(&target)?;
        open.allowed(request.method(), &target.host(), target.port());
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned();
        head.uri = target.url(path)?;
        if self.policy.traces(&target) {
            // What a guest says there would be of a trace that is not the flight's.
            head.headers.remove("tracestate");
            head.headers.insert(TRACEPARENT, open.trace().header());
        }
        let length = match head.headers.get(header::CONTENT_LENGTH) {
            Some(length) => {
                let length = length.to_str().ok().and_then(|text| text.parse().ok());
                Some(length.ok_or(Denial::Framing)?)
            }
            None => None,
        };
        Ok(Request::from_parts(
            head,
            LengthCheckedBody::new(body, length),
        ))
    }
}

/// Until when the parts of one request may take. A guest may ask for less than the host allows, never
/// for more.
struct Times {
    /// For a connection. The host's own limit is the connector's, since a connection may serve another
    /// request in the end.
    connected: Instant,
    first_byte: Duration,
    between: Duration,
    deadline: Instant,
}

impl Times {
    fn new(asked: RequestOptions, limits: &Limits) -> Self {
        let now = Instant::now();
        let least = |asked: Option<Duration>, limit| asked.map_or(limit, |asked| asked.min(limit));
        Self {
            connected: now + least(asked.connect_timeout, limits.request_timeout),
            first_byte: least(asked.first_byte_timeout, limits.first_byte_timeout),
            between: least(asked.between_bytes_timeout, limits.between_bytes_timeout),
            deadline: now + limits.request_timeout,
        }
    }

    /// The response of `exchange`, if it has a connection in time and, from then on, its first byte.
    async fn kept(
        &self,
        exchange: impl Future<Output = Result<Response<Incoming>, Failure>>,
        mut connected: legacy::connect::CaptureConnection,
    ) -> Result<Response<Incoming>, Failure> {
        let mut exchange = pin!(exchange);
        let connection = async {
            tokio::select! {
                biased;
                response = &mut exchange => Some(response),
                _ = connected.wait_for_connection_metadata() => None,
            }
        };
        match timeout_at(self.connected, connection).await {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(_) => return Err(late("a connection", Error::ConnectionTimeout)),
        }
        let first_byte = self.deadline.min(Instant::now() + self.first_byte);
        match timeout_at(first_byte, exchange).await {
            Ok(response) => response,
            Err(_) => Err(late("the first byte", Error::HttpResponseTimeout)),
        }
    }
}

/// What headers take on the wire, in bytes, about: HTTP/2 may take less.
fn size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum()
}

/// A failure on the host's side.
struct Failure {
    /// What the flight is named after.
    named: ClientError,
    /// What the guest gets.
    error: Error,
    /// What the log says.
    why: String,
}

impl Failure {
    /// Ends `request` with this failure; what is left is for the guest.
    fn end(self, request: RequestGuard) -> Error {
        request.fail(self.named, &self.why);
        self.error
    }
}

/// What a failed request is to the flight, and what the guest is told.
fn failure(error: &legacy::Error) -> Failure {
    for cause in causes(error) {
        if let Some(cause) = cause.downcast_ref::<ConnectError>() {
            return unconnected(cause, chain(error));
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            if hyper.is_parse_too_large() {
                return too_large(chain(error));
            } else if hyper.is_parse() {
                return malformed(chain(error));
            } else if hyper.is_user() {
                // Of what hyper is given, only the body is the guest's.
                return denied(&Denial::Framing);
            }
        }
        // These are found on this side: what is sent is at fault, not who sends it.
        if let Some(h2) = cause
            .downcast_ref::<h2::Error>()
            .filter(|h2| h2.is_library())
        {
            return match h2.reason() {
                // Said of nothing but a head that does not end.
                Some(h2::Reason::ENHANCE_YOUR_CALM | h2::Reason::COMPRESSION_ERROR) => {
                    too_large(chain(error))
                }
                _ => malformed(chain(error)),
            };
        }
    }
    unavailable(Error::ConnectionTerminated, chain(error))
}

/// What a request without a connection is.
fn unconnected(cause: &ConnectError, why: String) -> Failure {
    match cause {
        ConnectError::Denied(denial) => denied(denial),
        ConnectError::TimedOut => late("a connection", Error::ConnectionTimeout),
        ConnectError::Lookup(_) => {
            let (rcode, info_code) = (None, None);
            unavailable(Error::DnsError { rcode, info_code }, why)
        }
        ConnectError::Dial(_) => unavailable(Error::ConnectionRefused, why),
        ConnectError::Tls(_) => unavailable(Error::TlsProtocolError, why),
    }
}

fn unavailable(error: Error, why: String) -> Failure {
    let named = ClientError::UpstreamUnavailable;
    Failure { named, error, why }
}

fn malformed(why: String) -> Failure {
    Failure {
        named: ClientError::UpstreamMalformed,
        error: Error::HttpProtocolError,
        why,
    }
}

fn too_large(why: String) -> Failure {
    Failure {
        named: ClientError::UpstreamResponseTooLarge,
        error: Error::HttpResponseHeaderSectionSize(None),
        why,
    }
}

fn denied(denial: &Denial) -> Failure {
    Failure {
        named: ClientError::UpstreamDenied,
        error: Error::HttpRequestDenied,
        why: denial.to_string(),
    }
}

fn late(what: &str, error: Error) -> Failure {
    let why = format!("{what} did not come in time");
    Failure {
        named: ClientError::UpstreamTimeout,
        error,
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

/// Headers that a guest may not set, because they belong to the connection or to whoever stands between
/// (RFC 9110, section 7.6). `Content-Length` is not among them: a guest may announce its body's length and is
/// held to it.
pub(crate) fn is_forbidden_header(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 4] = [header::TE, header::TRAILER, header::EXPECT, header::VIA];
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || OURS.contains(name)
        || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_connections_and_proxies_are_forbidden_and_no_others() {
        for name in [
            "connection",
            "keep-alive",
            "host",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "expect",
            "via",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "proxy-status",
        ] {
            assert!(
                is_forbidden_header(&HeaderName::from_static(name)),
                "{name}"
            );
        }
        for name in [
            "authorization",
            "content-length",
            "accept",
            "traceparent",
            "proxied",
        ] {
            assert!(
                !is_forbidden_header(&HeaderName::from_static(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_guest_may_ask_for_less_time_and_gets_no_more() {
        let limits = Limits::default();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
        let asked = |time| RequestOptions {
            connect_timeout: Some(time),
            first_byte_timeout: Some(time),
            between_bytes_timeout: Some(time),
        };
        let less = Times::new(asked(short), &limits);
        assert_eq!((less.first_byte, less.between), (short, short));
        assert!(less.connected < less.deadline);
        for options in [asked(long), RequestOptions::default()] {
            let most = Times::new(options, &limits);
            assert_eq!(most.first_byte, limits.first_byte_timeout);
            assert_eq!(most.between, limits.between_bytes_timeout);
            assert_eq!(most.connected, most.deadline);
        }
    }
}
