//! The requests of one flight: how many are open, why the last one failed, and what they cost.
//!
//! Written where requests are sent; read when the guest has ended or its deadline has come, to name
//! what went wrong. The layers between know nothing of it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use opentelemetry::trace::Status;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::origin::Target;
use crate::client::ClientError;
use crate::metrics::ClientMetrics;
use crate::observation::Spent;
use crate::trace::TraceContext;

tokio::task_local! {
    /// Set around the execution of a flight. A flight is one task from there to the guest's call, so
    /// what reads it is sure to find its own flight's.
    static CURRENT: Arc<Outbound>;
}

/// How many failures of one flight are logged: a guest may ask for what is denied all day.
const MOST_LOGGED: usize = 4;

/// The requests of one flight, as the host saw them.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// Up when a request begins, down when its guard is dropped.
    open: AtomicUsize,
    /// Failures so far.
    failures: AtomicUsize,
    newest: Mutex<Newest>,
    /// Made when the first request is sent that tells it.
    trace: OnceLock<TraceContext>,
    /// Requests that the policy let through.
    sent: AtomicUsize,
    /// Nanoseconds that requests were open, together.
    upstream: AtomicU64,
    /// Nanoseconds of the guest's own.
    guest: AtomicU64,
    /// Told the time that all of it took, when the flight and its requests are over.
    metrics: ClientMetrics,
}

/// Invariant: `failure` is that of request `number`, the last that began; where it did not fail, or not
/// yet, it is none. An earlier request that fails later explains nothing.
#[derive(Debug, Default)]
struct Newest {
    number: usize,
    failure: Option<ClientError>,
}

impl Outbound {
    /// Those of a flight of the client that `metrics` count.
    pub(crate) fn counted_by(metrics: &ClientMetrics) -> Arc<Self> {
        let mut outbound = Self::default();
        outbound.metrics = metrics.clone();
        Arc::new(outbound)
    }

    /// Runs `execution` as the flight whose requests these are.
    pub(crate) fn around<F: Future>(
        self: Arc<Self>,
        execution: F,
    ) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, execution)
    }

    /// Those of the flight that the current task executes; outside of any, some of their own.
    pub(crate) fn of_this_flight() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_default()
    }

    /// A request begins; it ends with the guard.
    pub(crate) fn begin(self: &Arc<Self>) -> OpenRequest {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest();
        *newest = Newest {
            number: newest.number + 1,
            failure: None,
        };
        OpenRequest {
            outbound: Arc::clone(self),
            number: newest.number,
            began: Instant::now(),
            span: Span::none(),
            permit: None,
        }
    }

    /// What the flight has taken so far.
    pub(crate) fn spent(&self) -> Spent {
        let time =
            |nanoseconds: &AtomicU64| Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        Spent {
            requests: self.sent.load(Ordering::Relaxed),
            upstream: time(&self.upstream),
            guest: time(&self.guest),
        }
    }

    /// What counts this flight.
    pub(crate) fn metrics(&self) -> &ClientMetrics {
        &self.metrics
    }

    /// The guest had a thread for so long.
    pub(crate) fn guest_ran(&self, time: Duration) {
        add(&self.guest, time);
    }

    /// Whether any request is under way.
    pub(crate) fn any_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Whether any request has failed, where that was the host's doing or seeing.
    pub(crate) fn any_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
    }

    /// Why the last request failed, where that was the host's doing or seeing.
    pub(crate) fn last_failure(&self) -> Option<ClientError> {
        self.newest().failure.clone()
    }

    /// The flight's trace context: its span's, or one of its own where spans are not traced. Its id is in
    /// the flight's span, so that an upstream's trace leads to the flight's log lines.
    fn trace(&self) -> TraceContext {
        *self.trace.get_or_init(|| {
            let span = Span::current();
            let trace = TraceContext::of(&span).unwrap_or_else(TraceContext::new);
            span.record("trace", field::display(trace));
            // In the flight's span, which says the rest. Where nobody is told there is no such line.
            tracing::info!("an upstream was told the trace context");
            trace
        })
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.metrics.took(self.spent());
    }
}

fn add(nanoseconds: &AtomicU64, time: Duration) {
    let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    nanoseconds.fetch_add(time, Ordering::Relaxed);
}

/// A request under way, until it is dropped.
pub(crate) struct OpenRequest {
    outbound: Arc<Outbound>,
    number: usize,
    began: Instant,
    /// Its own, once its policy has let it through. For traces: at a level that logs seldom show, and
    /// of what its guest says, with the host alone, which the policy has looked at.
    span: Span,
    /// One of its client's, once it has one.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl OpenRequest {
    /// Which of its flight's requests it is, the first being 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Its policy lets it through.
    pub(super) fn goes_to(&mut self, method: &Method, target: &Target) {
        self.span = tracing::debug_span!(
            "upstream request",
            http.request.method = known(method),
            server.address = %target.host(),
            server.port = target.port(),
            http.response.status_code = field::Empty,
            error.type = field::Empty,
        );
    }

    /// It goes onto the wire.
    pub(super) fn sent(&self) {
        self.outbound.sent.fetch_add(1, Ordering::Relaxed);
        self.outbound.metrics.request();
    }

    /// What its upstream is told: its own span's context, or the flight's where spans are not traced.
    pub(super) fn trace(&self) -> TraceContext {
        let flight = self.outbound.trace();
        TraceContext::of(&self.span).unwrap_or(flight)
    }

    /// It has the head of an answer.
    pub(super) fn answered(&self, status: StatusCode) {
        self.span
            .record("http.response.status_code", status.as_u16());
        if status.is_client_error() || status.is_server_error() {
            self.span.record("error.type", status.as_str());
            self.span.set_status(Status::error(""));
        }
    }

    /// It failed: `named` is what its flight is called after, `why` is for the log.
    pub(super) fn failed(self, named: ClientError, why: &dyn Display) {
        if self.outbound.failures.fetch_add(1, Ordering::Relaxed) < MOST_LOGGED {
            tracing::warn!(code = named.code(), "a request of the guest failed: {why}");
        }
        self.span.record("error.type", named.code());
        self.span.set_status(Status::error(""));
        let mut newest = self.outbound.newest();
        if newest.number == self.number {
            newest.failure = Some(named);
        }
    }
}

/// A method by its name where that is one of HTTP's (as OpenTelemetry has it): another is the guest's word.
fn known(method: &Method) -> &str {
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

impl Drop for OpenRequest {
    fn drop(&mut self) {
        add(&self.outbound.upstream, self.began.elapsed());
        self.outbound.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_request_names_a_failure() {
        let outbound = Arc::<Outbound>::default();
        let (first, second) = (outbound.begin(), outbound.begin());
        first.failed(ClientError::UpstreamTimeout, &"late");
        assert_eq!(outbound.last_failure(), None);
        second.failed(ClientError::UpstreamUnavailable, &"gone");
        assert_eq!(
            outbound.last_failure(),
            Some(ClientError::UpstreamUnavailable)
        );
        let third = outbound.begin();
        assert_eq!(outbound.last_failure(), None);
        assert!(outbound.any_open());
        drop(third);
        assert!(!outbound.any_open());
    }
}
