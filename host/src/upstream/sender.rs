//! [`Sender`]: sends a request over a connection of the pool, and once more over a new connection if the upstream did
//! not process it, or gave no sign of having processed it and the request may be repeated: see [`Unprocessed`].
//!
//! The second attempt is not a retry of a request that failed: it replaces a connection that could not be used. It is
//! never followed by a third, and a request with a body has none. hyper-util itself moves a request to another
//! connection only as long as no byte of it was written, so a request is written to at most two connections.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connect::{Connector, max_requests_in_flight};
use super::connection::{AwaitedAnswer, ConnectionRecord, record_of};
use super::connection_tasks::ConnectionTasks;
use super::failure::{ConnectFailure, RequestFailure, causes, is_closed_by_peer, is_reset_by_peer};
use super::interim::InterimResponses;
use super::request;
use super::request_body::RequestBody;
use super::timeouts::Timeouts;
use super::upload::Upload;
use crate::flight_context::RequestGuard;
use crate::model::Limits;

/// The flow-control window of one HTTP/2 stream, in bytes: 256 KiB. A connection's window is that of all its streams
/// together, so a guest that does not read its response stalls no other.
const STREAM_WINDOW: u32 = 256 << 10;

/// How many connections for one second attempt may end before they take requests. An upstream with several processes
/// that shut down one after the other may end two or three.
const MAX_RECONNECTS: usize = 4;

/// The maximum size of what waits to be sent on one HTTP/2 stream, in bytes: 64 KiB.
const SEND_BUFFER: usize = 64 << 10;

/// The most that hyper holds for one request, in bytes: what is not sent yet of its body, and what has arrived of the
/// response. Over HTTP/1.1 each is at most as large as a header section may be.
pub(crate) fn max_buffered_bytes(limits: &Limits) -> usize {
    let head = limits.max_header_bytes;
    SEND_BUFFER.max(head) + (STREAM_WINDOW as usize).max(head)
}

/// Sends the requests of one client.
#[derive(Debug)]
pub(super) struct Sender {
    pooled: Client<Connector, RequestBody>,
    /// Opens a connection for each request, and pools none: for second attempts. When an upstream restarts, all pooled
    /// connections are closed at about the same time, so another one of them proves nothing.
    unpooled: Client<Connector, RequestBody>,
    connector: Connector,
    /// One permit per request in flight, so per connection in use.
    permits: Arc<Semaphore>,
    /// How many connections for a second attempt may end before they take requests.
    max_reconnects: usize,
    max_interim_responses: usize,
}

impl Sender {
    pub(super) fn new(connector: &Connector, limits: &Limits) -> Self {
        let max_requests = max_requests_in_flight(limits);
        Self {
            pooled: client(limits)
                .pool_max_idle_per_host(max_requests)
                // Until the upstream's settings have arrived, its limit on streams is not known, and it refuses those
                // above.
                .http2_initial_max_send_streams(1)
                .build(connector.clone()),
            unpooled: client(limits)
                .pool_max_idle_per_host(0)
                .http2_initial_max_send_streams(0)
                .build(connector.when_ready()),
            max_reconnects: if limits.connect_retry_timeout.is_zero() {
                0
            } else {
                MAX_RECONNECTS
            },
            connector: connector.clone(),
            permits: Arc::new(Semaphore::new(max_requests)),
            max_interim_responses: limits.max_interim_responses,
        }
    }

    /// The response to `request`, whose body is `upload`'s. If all of the client's connections are in use, it waits for
    /// one. `timeouts` cover the wait and both attempts.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
        upload: &Upload,
        timeouts: &Timeouts,
        guard: &RequestGuard,
    ) -> Result<Response<Incoming>, RequestFailure> {
        timeouts.until_ready(request::ready(&mut request)).await?;
        // Only now is it known whether a body that the guest has opened has anything in it.
        let replay = Replay::of(&request);
        let due = timeouts.connection_due();
        let permits = Arc::clone(&self.permits);
        let permitted = async {
            // The semaphore is never closed, so this is never an error.
            if let Ok(permit) = permits.acquire_owned().await {
                guard.hold(permit);
            }
        };
        let waiting = guard.wait_for_connection();
        timeouts.until_permitted(permitted, due).await?;
        drop(waiting);
        let first = self.attempt(&self.pooled, request, upload, timeouts, due, guard);
        let (error, connection) = match first.await? {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        let unprocessed = replay.and_then(|replay| {
            let why = Unprocessed::of(&error, &connection, &replay.method)?;
            Some((replay, why))
        });
        let Some((replay, why)) = unprocessed else {
            return Err(RequestFailure::no_response(&error));
        };
        guard.resent(&why);
        let (due, mut reconnects) = (timeouts.connection_due(), 0);
        loop {
            let request = replay.request();
            let second = self.attempt(&self.unpooled, request, upload, timeouts, due, guard);
            match second.await? {
                Ok(response) => return Ok(response),
                // Nothing of the request was sent, so this is no attempt, as if the connection had been refused.
                Err((_, connection))
                    if reconnects < self.max_reconnects
                        && record_of(&connection)
                            .is_some_and(|record| record.was_never_ready()) =>
                {
                    reconnects += 1;
                    guard.connect_retried();
                }
                Err((error, _)) => return Err(RequestFailure::no_response(&error)),
            }
        }
    }

    /// Sends `request` over a connection of `client`, which it must have when it is `due`. The inner error is that of the
    /// connection; the outer one says why the response is not permitted, or that it timed out.
    async fn attempt(
        &self,
        client: &Client<Connector, RequestBody>,
        mut request: Request<RequestBody>,
        upload: &Upload,
        timeouts: &Timeouts,
        due: Instant,
        guard: &RequestGuard,
    ) -> Result<Result<Response<Incoming>, (legacy::Error, CaptureConnection)>, RequestFailure>
    {
        let (target, max) = (request.uri().clone(), self.max_interim_responses);
        let interim = InterimResponses::count(&mut request, max);
        let mut connection = capture_connection(&mut request);
        let mut exchange = pin!(async {
            tokio::select! {
                // The response may follow in the same read.
                biased;
                () = interim.exceeded() => Err(RequestFailure::too_many_interim_responses(max)),
                outcome = client.request(request) => Ok(outcome),
            }
        });
        let early = timeouts.until_connected(exchange.as_mut(), &mut connection, due);
        let early = early.await?;
        if let Some(record) = record_of(&connection) {
            record.retire_if_old(&connection);
            if record.take_retried() {
                guard.connect_retried();
            }
        }
        let outcome = match early {
            Some(outcome) => outcome,
            None => timeouts.until_first_byte(exchange, upload).await?,
        }?;
        if outcome.is_ok() {
            self.connector.answered(&target);
        }
        Ok(outcome.map_err(|error| {
            if connect_failure(&error).is_some_and(|failure| failure.was_retried) {
                guard.connect_retried();
            }
            (error, connection)
        }))
    }
}

fn client(limits: &Limits) -> legacy::Builder {
    let streams = u32::try_from(max_requests_in_flight(limits)).unwrap_or(u32::MAX);
    let mut builder = Client::builder(ConnectionTasks);
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.idle_timeout)
        .http1_max_buf_size(limits.max_header_bytes.max(8 << 10))
        // Above the limit that is checked on the arrival of the header section, so that one just over it is reported
        // by its number of lines. hyper allocates room for as many.
        .http1_max_headers(limits.max_headers.saturating_mul(2))
        // Above the limit on the header section that is checked on its arrival, so that a section just over it is
        // reported by its size and not as a broken stream.
        .http2_max_header_list_size(
            u32::try_from(limits.max_header_bytes.saturating_mul(16)).unwrap_or(u32::MAX),
        )
        .http2_max_send_buf_size(SEND_BUFFER)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(
            STREAM_WINDOW.saturating_mul(streams).min((1 << 31) - 1),
        )
        // A request that times out leaves its connection in the pool. Pings find a connection that has gone dead,
        // which would otherwise fail every request after it.
        .http2_keep_alive_interval(limits.connect_timeout)
        .http2_keep_alive_timeout(limits.connect_timeout);
    builder
}

/// Why there was no connection for a request.
fn connect_failure(error: &legacy::Error) -> Option<&ConnectFailure> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What a second attempt sends: a request without a body.
struct Replay {
    method: Method,
    head: Request<()>,
}

impl Replay {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        if !request.body().is_end_stream() {
            return None;
        }
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        let method = request.method().clone();
        Some(Self { method, head })
    }

    fn request(&self) -> Request<RequestBody> {
        self.head.clone().map(|()| RequestBody::empty())
    }
}

/// Why an upstream has not processed a request without a body, or why the request may be repeated although it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unprocessed {
    /// The connection was gone before the request was written to it.
    NotSent,
    /// A used HTTP/1.1 connection was closed before the first byte of the answer to a GET or HEAD. The upstream has
    /// closed an idle connection, or it has given no sign of having read the request, which RFC 9110, section 9.2.2
    /// permits to repeat because it is idempotent.
    ClosedWhileIdle,
    /// A new HTTP/1.1 connection was reset before the first byte of the answer to a GET or HEAD. A system resets a
    /// connection whose received bytes were not read when it is closed: above all one that the upstream had not accepted
    /// when it stopped to listen, as a server does that restarts. A program that has read the request and ends closes the
    /// connection without a reset, and this is not repeated.
    ResetUnread,
    /// An HTTP/2 connection shut down while the request, a GET or HEAD, waited until the upstream's limit on streams
    /// permitted it. hyper drops such a request, and does not say whether it was sent in the last moment.
    ShutDown,
    /// RFC 9113, section 8.7: REFUSED_STREAM says that the request was not processed.
    Refused,
    /// RFC 9113, section 6.8: streams above the last one that GOAWAY names were not processed.
    GoneAway,
}

impl Unprocessed {
    fn of(error: &legacy::Error, connection: &CaptureConnection, method: &Method) -> Option<Self> {
        // Another request was to open an HTTP/2 connection for this one, too, and was dropped or failed.
        if connect_failure(error).is_none() && connection.connection_metadata().is_none() {
            return Some(Self::NotSent);
        }
        let hyper = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>())?;
        if hyper.is_canceled() {
            return Some(Self::NotSent);
        }
        if let Some(h2) = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>()) {
            return Self::of_h2(h2, method);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let connected = connection.connection_metadata();
        let connected = connected.as_ref()?;
        // The request has no body, so this is no error of the guest.
        if connected.is_negotiated_h2() && hyper.is_user() {
            return Some(Self::ShutDown);
        }
        if connected.is_negotiated_h2() {
            return None;
        }
        match ConnectionRecord::of(connected)?.awaits_answer()? {
            AwaitedAnswer::First => is_reset_by_peer(hyper).then_some(Self::ResetUnread),
            AwaitedAnswer::Later => is_closed_by_peer(hyper).then_some(Self::ClosedWhileIdle),
        }
    }

    fn of_h2(error: &h2::Error, method: &Method) -> Option<Self> {
        if !error.is_remote() {
            return None;
        }
        match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) if error.is_reset() => Some(Self::Refused),
            // The error code does not matter: h2 reports GOAWAY for streams above the last one that it names, and
            // another error for those that may have been processed. hyper reports GOAWAY also for a stream that it
            // opened just before, without its number. So only a request that may be repeated in any case is repeated.
            Some(_) if error.is_go_away() && method.is_idempotent() => Some(Self::GoneAway),
            _ => None,
        }
    }
}

impl fmt::Display for Unprocessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "its connection was closed before it was sent",
            Self::ClosedWhileIdle => "the upstream closed a reused connection without an answer",
            Self::ResetUnread => "the upstream reset a new connection without an answer",
            Self::ShutDown => "the connection was shut down while the request waited for a stream",
            Self::Refused => "the upstream refused its stream (REFUSED_STREAM)",
            Self::GoneAway => "the upstream ended the connection before this stream (GOAWAY)",
        })
    }
}
