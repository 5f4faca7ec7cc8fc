//! [`FlightContext`]: what the layers of one flight report to each other.
//!
//! Each outbound request is recorded here when the guest sends it. When the guest has returned or the flight's deadline
//! has passed, the records determine the flight's error and its cost. The context is an explicit parameter of
//! [`Execute`](crate::client::Execute): with ambient state, a layer in the wrong place would silently get a default.

mod body_kind;
mod clock;
mod redirect;
mod response;
mod retry_after;

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::response::Parts;
use http::{Method, Uri};
use opentelemetry::trace::Status;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub(crate) use self::clock::{elapsed_time, thread_time};
pub(crate) use self::response::ResponseFacts;

use crate::model::{ClientError, FlightCost};
use crate::observability::metrics::ClientMetrics;
use crate::observability::trace::TraceContext;

/// How many bytes of a body the host passes on in a nanosecond. It does so in tasks that serve several flights, so each
/// body is charged for its length. With TLS, a byte of a response took 0.4 ns and one of a request 0.2 ns; half of that
/// without.
const BYTES_PER_NANOSECOND: u64 = 2;

/// How many failed requests of one flight are logged: a guest may send denied requests without end.
const MAX_LOGGED_FAILURES: usize = 4;

/// What the layers of one flight report to each other. Clones share one context.
#[derive(Clone, Default)]
pub struct FlightContext(Arc<ContextState>);

#[derive(Default)]
struct ContextState {
    /// Incremented when a request begins, decremented when its guard is dropped.
    open: AtomicUsize,
    /// The open requests that wait for one of the client's connections.
    waiting: AtomicUsize,
    /// Failed requests so far.
    failures: AtomicUsize,
    newest: Mutex<Newest>,
    /// Set by the first request that propagates it.
    trace: OnceLock<TraceContext>,
    /// Requests that the policy allowed.
    sent: AtomicUsize,
    /// The sum of the durations of all requests, in nanoseconds.
    upstream: AtomicU64,
    /// Processor time of the guest, and of the host's work for it, in nanoseconds.
    guest: AtomicU64,
    /// The part of `guest` that `metrics` have.
    guest_reported: AtomicU64,
    /// The memory that the guest had, in bytes.
    guest_memory: AtomicUsize,
    /// The most memory that the host held for the guest, in bytes.
    host_memory: AtomicUsize,
    /// Records the flight's cost when the flight and its requests have ended.
    metrics: ClientMetrics,
}

/// Invariant: `response` and `failure` are those of request `number`, the last one that began; `None` if it has no
/// response, or has not failed. An earlier request that fails later does not explain what the guest returns.
#[derive(Default)]
struct Newest {
    number: usize,
    response: Option<ResponseFacts>,
    failure: Option<ClientError>,
}

impl FlightContext {
    /// The context of a new flight of the client that `metrics` counts.
    #[must_use]
    pub fn new(metrics: &ClientMetrics) -> Self {
        let mut state = ContextState::default();
        state.metrics = metrics.clone();
        Self(Arc::new(state))
    }

    /// Begins an outbound request, which ends when the guard is dropped.
    pub(crate) fn begin(&self) -> RequestGuard {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest();
        *newest = Newest {
            number: newest.number + 1,
            response: None,
            failure: None,
        };
        RequestGuard {
            context: self.clone(),
            number: newest.number,
            has_first_bytes: AtomicBool::new(false),
            began: Instant::now(),
            has_failed: AtomicBool::new(false),
            flight: Span::current(),
            span: OnceLock::new(),
            permit: OnceLock::new(),
        }
    }

    /// The flight's cost so far.
    pub(crate) fn cost(&self) -> FlightCost {
        self.0.cost()
    }

    /// The metrics that count this flight.
    pub(crate) fn metrics(&self) -> &ClientMetrics {
        &self.0.metrics
    }

    /// Adds processor time of the guest, or of the host's work for it, and returns the sum so far.
    pub(crate) fn add_guest_time(&self, time: Duration) -> Duration {
        add(&self.0.guest, time)
    }

    /// Does `work` of the host for the guest, and adds its processor time to that of the guest.
    pub(crate) fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = thread_time();
        let done = work();
        self.add_guest_time(thread_time().saturating_sub(started));
        done
    }

    /// Adds the processor time of the guest to the metrics of its client before its flight has ended.
    pub(crate) fn report_guest_time(&self) {
        self.0.report_guest_time();
    }

    /// Whether any request is open.
    pub(crate) fn any_open(&self) -> bool {
        self.open() > 0
    }

    /// Whether any request waits for one of the client's connections.
    pub(crate) fn any_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// The number of open requests.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Records that the guest's memories and tables have `guest` bytes, and that the host held up to `host` bytes for it.
    pub(crate) fn record_memory(&self, guest: usize, host: usize) {
        self.0.guest_memory.store(guest, Ordering::Relaxed);
        self.0.host_memory.store(host, Ordering::Relaxed);
    }

    /// Whether any request has failed on the host's side.
    pub(crate) fn any_failed(&self) -> bool {
        self.0.failures.load(Ordering::Relaxed) > 0
    }

    /// Why the last request failed on the host's side, if it did.
    pub(crate) fn last_failure(&self) -> Option<ClientError> {
        self.newest().failure.clone()
    }

    /// What the response to the last request states, if there is one.
    pub(crate) fn last_response(&self) -> Option<ResponseFacts> {
        self.newest().response.clone()
    }

    /// The trace context of the flight's span, or a generated one if spans are not traced. Its id is recorded
    /// in the flight's span, so that an upstream's trace leads to the flight's log lines.
    fn trace(&self) -> TraceContext {
        *self.0.trace.get_or_init(|| {
            let span = Span::current();
            let trace = TraceContext::of(&span).unwrap_or_else(TraceContext::new);
            span.record("trace", field::display(trace));
            // This line shows the id, which is a field of the flight's span.
            tracing::info!("propagated the trace context to an upstream");
            trace
        })
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FlightContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightContext")
            .field("cost", &self.cost())
            .field("open", &self.0.open)
            .finish_non_exhaustive()
    }
}

impl ContextState {
    fn report_guest_time(&self) {
        let guest = self.guest.load(Ordering::Relaxed);
        let reported = self.guest_reported.fetch_max(guest, Ordering::Relaxed);
        let time = Duration::from_nanos(guest.saturating_sub(reported));
        self.metrics.add_guest_time(time);
    }

    fn cost(&self) -> FlightCost {
        let time =
            |nanoseconds: &AtomicU64| Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        FlightCost {
            requests: self.sent.load(Ordering::Relaxed),
            upstream: time(&self.upstream),
            guest: time(&self.guest),
            guest_memory: self.guest_memory.load(Ordering::Relaxed),
            host_memory: self.host_memory.load(Ordering::Relaxed),
        }
    }
}

impl Drop for ContextState {
    fn drop(&mut self) {
        self.report_guest_time();
        self.metrics.add_upstream_time(self.cost().upstream);
    }
}

/// Adds `time`, and returns the sum.
fn add(nanoseconds: &AtomicU64, time: Duration) -> Duration {
    let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let before = nanoseconds.fetch_add(time, Ordering::Relaxed);
    Duration::from_nanos(before.saturating_add(time))
}

/// An open outbound request, until it is dropped. The body of the request and that of its response share it: the
/// request is open until both have ended.
pub(crate) struct RequestGuard {
    context: FlightContext,
    number: usize,
    /// Whether the first bytes of the response's body are recorded.
    has_first_bytes: AtomicBool,
    began: Instant,
    /// Set by the first failure, or so that there is none.
    has_failed: AtomicBool,
    /// The span in which the request began, the flight's: also tasks that run outside of it log its failure.
    flight: Span,
    /// The request's own span, once the policy has allowed the request. It is meant for traces: its level, debug, is
    /// usually not logged.
    /// The only value in it that the guest chose is the host, which the policy has checked.
    span: OnceLock<Span>,
    /// The client's permit for this request, once it has one.
    permit: OnceLock<OwnedSemaphorePermit>,
}

impl RequestGuard {
    /// Its number among its flight's requests; the first is 1.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Opens the request's span, once its policy has allowed it.
    pub(crate) fn allowed(&self, method: &Method, host: &dyn Display, port: u16) {
        let open = || {
            tracing::debug_span!(
                "upstream request",
                http.request.method = method_name(method),
                server.address = %host,
                server.port = port,
                http.request.resend_count = field::Empty,
                connect.retried = field::Empty,
                http.response.status_code = field::Empty,
                error.type = field::Empty,
            )
        };
        self.span.get_or_init(open);
    }

    /// Counts the request as one that waits for a connection, until the value is dropped.
    pub(crate) fn wait_for_connection(&self) -> WaitingRequest<'_> {
        let waiting = &self.context.0.waiting;
        waiting.fetch_add(1, Ordering::Relaxed);
        WaitingRequest(waiting)
    }

    /// Keeps the client's permit for this request until the request ends.
    pub(crate) fn hold(&self, permit: OwnedSemaphorePermit) {
        drop(self.permit.set(permit));
    }

    /// The request's span.
    fn span(&self) -> &Span {
        self.span.get_or_init(Span::none)
    }

    /// Counts the request, which is about to be sent.
    pub(crate) fn sent(&self) {
        self.context.0.sent.fetch_add(1, Ordering::Relaxed);
        self.context.0.metrics.request();
    }

    /// Counts the second attempt of the request, which is about to be made. `reason` says why the upstream has not
    /// processed the first.
    pub(crate) fn resent(&self, reason: &dyn Display) {
        self.context.0.metrics.resent();
        self.span().record("http.request.resend_count", 1);
        self.span().in_scope(|| {
            tracing::debug!("sending a request once more, over a new connection: {reason}");
        });
    }

    /// Records that the request's connection took more than one attempt, because the upstream refused the first.
    pub(crate) fn connect_retried(&self) {
        self.context.0.metrics.connect_retried();
        self.span().record("connect.retried", true);
    }

    /// The trace context to propagate: that of the request's own span, or the flight's if spans are not traced.
    pub(crate) fn trace(&self) -> TraceContext {
        let flight = self.context.trace();
        TraceContext::of(self.span()).unwrap_or(flight)
    }

    /// Records the head of the response to the request of `url`.
    pub(crate) fn responded(&self, head: &Parts, url: &Uri) {
        let status = head.status;
        let facts = ResponseFacts::of(head, url);
        let mut newest = self.context.newest();
        if newest.number == self.number {
            newest.response = Some(facts);
        }
        drop(newest);
        self.span()
            .record("http.response.status_code", status.as_u16());
        if status.is_client_error() || status.is_server_error() {
            self.span().record("error.type", status.as_str());
            self.span().set_status(Status::error(""));
        }
    }

    /// Counts the host's work of passing on `bytes` of the request's body or its response's.
    pub(crate) fn passed_on(&self, bytes: usize) {
        let time = Duration::from_nanos(bytes as u64 / BYTES_PER_NANOSECOND);
        self.context.add_guest_time(time);
    }

    /// Records the first bytes of the response's body, the next of which are `bytes`.
    pub(crate) fn received(&self, bytes: &[u8]) {
        self.passed_on(bytes.len());
        if self.has_first_bytes.load(Ordering::Relaxed) {
            return;
        }
        let mut newest = self.context.newest();
        let is_newest = newest.number == self.number;
        let first_bytes = newest.response.as_mut().filter(|_| is_newest);
        let has_first_bytes = match first_bytes.map(|facts| &mut facts.first_bytes) {
            Some(first_bytes) => {
                first_bytes.add(bytes);
                first_bytes.is_full()
            }
            None => true,
        };
        self.has_first_bytes
            .store(has_first_bytes, Ordering::Relaxed);
    }

    /// Records no failure from now on, because what has arrived of the response suffices.
    pub(crate) fn ignore_failures(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Records that the request has failed, unless it has failed before. `error` becomes the flight's error if the guest
    /// then returns an error or traps, and this is its last request. `reason` goes to the log.
    pub(crate) fn fail(&self, error: ClientError, reason: &dyn Display) {
        if self.has_failed.swap(true, Ordering::Relaxed) {
            return;
        }
        let failures = self.context.0.failures.fetch_add(1, Ordering::Relaxed);
        if failures < MAX_LOGGED_FAILURES {
            tracing::warn!(
                parent: &self.flight,
                code = error.code(),
                "a request of the guest failed: {reason}"
            );
        }
        self.span().record("error.type", error.code());
        self.span().set_status(Status::error(""));
        let mut newest = self.context.newest();
        if newest.number == self.number {
            newest.failure = Some(error);
        }
    }
}

/// The name of a method that HTTP defines, else `_OTHER`, as OpenTelemetry's conventions require. Other names are the
/// guest's text, which must not reach the traces.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::OPTIONS
        | Method::TRACE
        | Method::PATCH => method.as_str(),
        _ => "_OTHER",
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        add(&self.context.0.upstream, self.began.elapsed());
        self.context.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that waits for one of the client's connections, until it is dropped.
pub(crate) struct WaitingRequest<'a>(&'a AtomicUsize);

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_request_decides_the_flights_error() {
        let context = FlightContext::default();
        let (first, second) = (context.begin(), context.begin());
        first.fail(ClientError::UpstreamTimeout(None), &"late");
        assert_eq!(context.last_failure(), None);
        second.fail(ClientError::UpstreamUnavailable, &"gone");
        assert_eq!(
            context.last_failure(),
            Some(ClientError::UpstreamUnavailable)
        );
        let third = context.begin();
        assert_eq!(context.last_failure(), None);
        assert!(context.any_open());
        drop((first, second, third));
        assert!(!context.any_open());
    }

    // fault 95
    #[test]
    fn the_hosts_work_for_a_guest_counts_as_the_guests_time() {
        let context = FlightContext::default();
        let guard = context.begin();
        guard.passed_on(2_000_000);
        guard.received(&[0; 2_000]);
        assert_eq!(context.cost().guest, Duration::from_micros(1_001));
        let work = Duration::from_millis(1);
        context.measure(|| {
            let end = thread_time() + work;
            while thread_time() < end {}
        });
        assert!(context.cost().guest >= Duration::from_micros(1_001) + work);
    }
}
