//! [`WithTelemetry`]: a span per caller, linked to the span of the flight that answered it; the outcome of each
//! caller, counted; and one log line per flight.
//!
//! It is outermost, because it counts callers. [`WithSingleFlight`](super::WithSingleFlight), the only layer that
//! knows flights, creates their spans and log lines with the functions here. Keys appear as hashes, and nothing
//! of an answer appears at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::Status;
use single_flight::{EndedFlight, FlightEnd};
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Client, Reply, Request};
use crate::model::{
    Call, ClientError, FlightCost, FlightId, Generation, Outcome, RequestId, Role, Usage,
};
use crate::observability::metrics::ClientMetrics;

/// Gives every caller a span that says which flight answered it and how, and counts it.
#[derive(Clone, Debug)]
pub struct WithTelemetry<C> {
    name: Arc<str>,
    next: C,
    metrics: ClientMetrics,
}

impl<C> WithTelemetry<C> {
    /// Decorates `next`, which is called `name` in spans and counted by `metrics`.
    pub fn new(next: C, name: &str, metrics: ClientMetrics) -> Self {
        Self {
            name: name.into(),
            next,
            metrics,
        }
    }

    /// The span of one caller.
    fn span(&self, call: &Call, id: Option<&RequestId>) -> Span {
        tracing::info_span!(
            "caller",
            client = &*self.name,
            function = call.function().label(),
            key = %call,
            request_id = id.map(field::display),
            flight = field::Empty,
            role = field::Empty,
            code = field::Empty,
        )
    }
}

impl<C> WithTelemetry<C> {
    /// Writes the log line of a caller: at warn if a limit refused it, since it is part of no flight that has a line; at
    /// debug if its request has an id or its address is known, since the line of a flight is about its leader.
    fn log(&self, call: &Call, reply: &Reply, id: Option<&RequestId>, caller: Option<IpAddr>) {
        let caller = caller.map(field::display);
        let request_id = id.map(field::display);
        if let (None, Err(reason @ ClientError::Overloaded(_))) = (reply.flight, &reply.result) {
            let (client, code) = (&*self.name, reason.code());
            tracing::warn!(client, key = %call, request_id, caller, code, %reason, "refused");
        }
        let is_known = request_id.is_some() || caller.is_some();
        if let Some(info) = reply.flight.filter(|_| is_known) {
            let (client, code) = (&*self.name, code(&reply.result));
            tracing::debug!(client, flight = %info.flight, request_id, caller, code, "caller");
        }
    }
}

impl<C: Client> Client for WithTelemetry<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    fn usage(&self) -> Usage {
        self.next.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future drops the call inside; the caller's span ends without a `code`.
    fn call(&self, request: Request) -> impl Future<Output = Reply> + Send {
        // Created here, and not when the future is first polled: the span's parent is the current one now.
        // `next` is called inside the future, which would otherwise hold that call twice; thousands of
        // callers wait here.
        let span = self.span(&request.call, request.id.as_ref());
        async move {
            let recorder = CallerRecorder::new(&self.metrics);
            let (call, id, caller) = (request.call.clone(), request.id.clone(), request.caller);
            let reply = self.next.call(request).instrument(span.clone()).await;
            recorder.record(&reply, &span);
            self.log(&call, &reply, id.as_ref(), caller);
            reply
        }
    }
}

/// Counts one caller when it is dropped: with the outcome that was recorded, or as `left`.
struct CallerRecorder<'a> {
    metrics: &'a ClientMetrics,
    started: Instant,
    outcome: &'static str,
}

impl<'a> CallerRecorder<'a> {
    fn new(metrics: &'a ClientMetrics) -> Self {
        Self {
            metrics,
            started: Instant::now(),
            outcome: "left",
        }
    }

    /// Records `reply`, here and in the caller's `span`.
    fn record(mut self, reply: &Reply, span: &Span) {
        self.outcome = code(&reply.result);
        match (reply.flight, &reply.result) {
            (Some(info), _) if info.role == Role::Follower => self.metrics.joined(),
            // A limit that a flight reached is counted once for the flight, not for each caller.
            (None, Err(error)) => {
                if let Some(limit) = error.limit() {
                    self.metrics.limit(limit);
                }
            }
            _ => {}
        }
        if let Some(info) = reply.flight {
            span.record("flight", field::display(info.flight));
            span.record(
                "role",
                match info.role {
                    Role::Leader => "leader",
                    Role::Follower => "follower",
                },
            );
        }
        span.record("code", self.outcome);
        if let Some(reason) = failure(&reply.result) {
            span.set_status(Status::error(reason.code()));
        }
    }
}

impl Drop for CallerRecorder<'_> {
    fn drop(&mut self) {
        self.metrics.caller(self.outcome, self.started.elapsed());
    }
}

/// The span of one flight, in which its guest runs.
pub(super) fn flight_span(
    client: &str,
    flight: FlightId,
    call: &Call,
    leader: Option<&RequestId>,
) -> Span {
    let request_id = leader.map(field::display);
    // `trace` is recorded if the trace context is propagated to an upstream.
    // At every level of the log: a failure within the flight is a line of its client.
    tracing::error_span!(parent: None, "flight", client, function = call.function().label(), flight = %flight, key = %call, request_id, trace = field::Empty)
}

/// Records on the `span` of a flight what it has cost, in traces only.
pub(super) fn flight_cost(span: &Span, cost: FlightCost) {
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    span.set_attribute("guest.cpu_seconds", cost.guest.as_secs_f64());
    span.set_attribute("guest.memory_bytes", count(cost.guest_memory));
    span.set_attribute("guest.host_memory_bytes", count(cost.host_memory));
}

/// Writes the one log line of a flight: at level info if it landed with an outcome or with an error about the key, at
/// warn if something failed, at error if the host failed. In observe mode the line says which flight would have been
/// joined, and whether the answer was `equal`. The span of a landed flight gets the same fields in traces only; in the
/// log they would appear twice.
pub(super) fn flight_ended<V>(
    client: &str,
    call: &Call,
    ended: &EndedFlight<'_, V>,
    equal: Option<bool>,
    landed: impl Fn(&V) -> (&Result<Outcome, ClientError>, &Span, Option<&RequestId>),
) {
    let EndedFlight {
        flight, callers, ..
    } = *ended;
    let ms = ended.age.as_millis();
    let would_have_joined = ended.would_have_joined.map(field::display);
    let function = call.function().label();
    match &ended.end {
        FlightEnd::Landed(value) => {
            let (result, span, leader) = landed(value);
            let (code, request_id) = (code(result), leader.map(field::display));
            span.set_attribute("callers", i64::try_from(callers).unwrap_or(i64::MAX));
            span.set_attribute("code", code);
            match failure(result) {
                None => {
                    tracing::info!(client, function, %flight, key = %call, request_id, callers, ms, would_have_joined, equal, code, "flight");
                }
                Some(reason) => {
                    span.set_status(Status::error(code));
                    tracing::warn!(client, function, %flight, key = %call, request_id, callers, ms, would_have_joined, equal, code, %reason, "flight");
                }
            }
        }
        FlightEnd::Cancelled => {
            tracing::info!(client, function, %flight, key = %call, callers, ms, would_have_joined, equal, code = "cancelled", "flight");
        }
        FlightEnd::Panicked(message) => {
            tracing::error!(client, function, %flight, key = %call, callers, ms, would_have_joined, equal, code = "internal", message, "flight");
        }
    }
}

/// The failure of a call, if it failed: an error about the key is no failure.
fn failure(result: &Result<Outcome, ClientError>) -> Option<&ClientError> {
    let error = result.as_ref().err()?;
    (!matches!(
        error.named(),
        ClientError::InvalidKey | ClientError::NotFound
    ))
    .then_some(error)
}

fn code(result: &Result<Outcome, ClientError>) -> &'static str {
    result.as_ref().map_or_else(ClientError::code, |_| "ok")
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
    use tracing_subscriber::registry::LookupSpan;

    use super::failure;
    use crate::client::{Client, Execute};
    use crate::flight_context::FlightContext;
    use crate::model::{Call, ClientError, Generation, Items, Outcome};
    use crate::observability::metrics::ClientMetrics;
    use crate::settings::Settings;
    use crate::stack::Stack;

    /// Recorded spans by name with their ids, links, and all fields as text.
    #[derive(Clone, Default)]
    struct Trace(Arc<Mutex<Traced>>);

    #[derive(Default)]
    struct Traced {
        spans: Vec<(&'static str, u64)>,
        links: Vec<(u64, u64)>,
        lines: Vec<String>,
        fields: String,
    }

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Trace {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
            let mut traced = self.0.lock().unwrap();
            traced
                .spans
                .push((attributes.metadata().name(), id.into_u64()));
            attributes.record(&mut Text(&mut traced.fields));
        }

        fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
            values.record(&mut Text(&mut self.0.lock().unwrap().fields));
        }

        fn on_follows_from(&self, span: &Id, follows: &Id, context: Context<'_, S>) {
            assert!(
                context.span(follows).is_some(),
                "expected a link to an open span"
            );
            self.0
                .lock()
                .unwrap()
                .links
                .push((span.into_u64(), follows.into_u64()));
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = String::new();
            event.record(&mut Text(&mut line));
            self.0.lock().unwrap().lines.push(line);
        }
    }

    struct Text<'a>(&'a mut String);

    impl Visit for Text<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            *self.0 += &format!("{field}={value:?} ");
        }
    }

    struct Empty(Generation);

    impl Execute for Empty {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn execute(&self, _: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
            Ok(Items::new(vec![]).unwrap().into())
        }
    }

    #[tokio::test]
    async fn every_caller_has_a_span_that_links_to_its_flight_and_a_flight_has_one_log_line() {
        let trace = Trace::default();
        let _guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(trace.clone()));
        let (settings, metrics) = (Settings::new("orders"), ClientMetrics::default());
        let client = Stack::new(Empty(Generation::next()), &settings, metrics);
        let call = || client.call("a secret key".into());
        let (one, other) = tokio::join!(call(), call());
        assert_eq!(one.flight.unwrap().flight, other.flight.unwrap().flight);

        let traced = trace.0.lock().unwrap();
        let named = |wanted| {
            let ids = traced.spans.iter().filter(move |(name, _)| *name == wanted);
            ids.map(|(_, id)| *id).collect::<Vec<_>>()
        };
        let (callers, flights) = (named("caller"), named("flight"));
        assert_eq!((callers.len(), flights.len()), (2, 1));
        let mut links = traced.links.clone();
        links.sort_unstable();
        assert_eq!(links, [(callers[0], flights[0]), (callers[1], flights[0])]);
        assert_eq!(traced.lines.len(), 1, "{:?}", traced.lines);
        for part in ["client=\"orders\"", "callers=2", "code=\"ok\""] {
            assert!(traced.lines[0].contains(part), "{:?}", traced.lines);
        }
        assert!(
            traced.fields.contains("role=\"leader\"")
                && traced.fields.contains("role=\"follower\"")
        );
        assert!(!format!("{}{:?}", traced.fields, traced.lines).contains("secret"));
    }

    #[test]
    fn an_error_about_the_key_is_no_failure() {
        let failed = |error: ClientError| failure(&Err(error)).cloned();
        assert_eq!(failed(ClientError::InvalidKey), None);
        assert_eq!(failed(ClientError::NotFound), None);
        let trap = ClientError::GuestTrap;
        assert_eq!(failed(trap.clone()), Some(trap));
        assert_eq!(failure(&Ok(Items::new(vec![]).unwrap().into())), None);
    }
}
