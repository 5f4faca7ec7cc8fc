//! [`WithSingleFlight`]: callers of one key share one execution of `next`.
//!
//! The table and its contract are the `single-flight` crate's. Here is what a flight's key is, what its
//! outcome is, and how the table's refusals are reported to callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use single_flight::{EndedFlight, Error, FlightEnd, Group, Policy, SharingMode};
use tracing::{Instrument, Span};

use super::comparison::{Comparisons, Execution};
use super::control::FlightControl;
use super::flight::{FlightKey, FlightOutcome};
use super::{Client, Execute, Freshness, Reply, Request, telemetry};
use crate::flight_context::FlightContext;
use crate::model::{
    Abandoned, Call, CallSharing, ClientError, FlightCost, FlightInfo, FlightRecord, Generation,
    Limits, Resource, Sharing, Usage,
};
use crate::observability::metrics::{ClientMetrics, FlightMetrics};

/// Makes the callers of one key share one execution of `next`, and its outcome.
///
/// A clone shares the table: two fetchers that hold clones of one decorated client cause one execution.
/// Decorating a component twice makes two tables, and they cause two.
#[derive(Debug)]
pub struct WithSingleFlight<E> {
    flights: Arc<Flights<E>>,
    table: Group<FlightKey, FlightOutcome>,
}

/// What every flight needs. Behind one pointer, so that a caller that only joins holds one clone.
#[derive(Debug)]
struct Flights<E> {
    name: Arc<str>,
    next: E,
    metrics: ClientMetrics,
    sharing: Sharing,
    /// What would have been shared, of calls that are not.
    comparisons: Arc<Comparisons>,
    /// The number of calls so far that are not shared.
    unshared: AtomicU64,
}

impl<E> Clone for WithSingleFlight<E> {
    fn clone(&self) -> Self {
        Self {
            flights: Arc::clone(&self.flights),
            table: self.table.clone(),
        }
    }
}

impl<E: Execute> WithSingleFlight<E> {
    /// Decorates `next` with a separate table for the client `name`. `metrics` counts its flights.
    pub fn new(
        next: E,
        name: &str,
        sharing: Sharing,
        abandoned: Abandoned,
        limits: &Limits,
        metrics: ClientMetrics,
    ) -> Self {
        let name: Arc<str> = name.into();
        let (mode, join_window) = match sharing {
            Sharing::Coalesced { join_window, .. } => (SharingMode::Share, join_window),
            Sharing::Observed => (SharingMode::Observe, None),
        };
        let policy = Policy {
            max_flights: limits.max_flights,
            max_callers_per_flight: limits.max_callers,
            max_executions_per_key: Some(limits.max_executions_per_key),
            join_window,
            abandoned,
            sharing: mode,
        };
        let table = Group::with_observer(policy, Instant::now, {
            let (name, metrics) = (Arc::clone(&name), metrics.clone());
            move |key: &FlightKey, ended: &EndedFlight<'_, FlightOutcome>| {
                let equal = match &ended.end {
                    FlightEnd::Landed(outcome) => outcome.equal(),
                    _ => None,
                };
                telemetry::flight_ended(&name, &key.call, ended, equal, |outcome| {
                    (&outcome.result, &outcome.span, outcome.request_id.as_ref())
                });
                count(&metrics, &key.call, ended, equal);
            }
        });
        Self {
            flights: Arc::new(Flights {
                name,
                next,
                metrics,
                sharing,
                comparisons: Arc::default(),
                unshared: AtomicU64::new(0),
            }),
            table,
        }
    }

    /// A handle on the flights of this table.
    pub fn control(&self) -> FlightControl {
        FlightControl::new(self.generation(), self.table.clone())
    }
}

impl<E: Execute> Client for WithSingleFlight<E> {
    fn generation(&self) -> Generation {
        self.flights.next.generation()
    }

    fn usage(&self) -> Usage {
        self.flights.next.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight: the other callers keep it, and the last one to leave cancels
    /// it, unless the client is set to finish abandoned flights. A flight that it has superseded stays so.
    async fn call(&self, request: Request) -> Reply {
        let Request {
            call,
            freshness,
            id,
            ..
        } = request;
        let flights = Arc::clone(&self.flights);
        let is_shared = call.function().sharing() == CallSharing::Shared;
        // A number of its own makes each call that is not shared the only caller of its flight.
        let caller = (!is_shared).then(|| flights.unshared.fetch_add(1, Ordering::Relaxed));
        let key = FlightKey {
            generation: self.generation(),
            call: call.clone(),
            caller,
        };
        let work = move |flight| {
            let span = telemetry::flight_span(&flights.name, flight, &call, id.as_ref());
            let context = FlightContext::new(&flights.metrics);
            let flight_span = span.clone();
            // A fresh flight would not have been shared with any earlier one.
            let would_share =
                freshness == Freshness::Any && (!is_shared || flights.sharing == Sharing::Observed);
            let execution = would_share.then(|| flights.comparisons.begin(&call));
            let overlaps = !is_shared && execution.as_ref().is_some_and(Execution::overlaps);
            // In a box: the task of the flight is moved several times before it runs.
            Box::pin(async move {
                let result = flights.next.execute(call, &context).await;
                let comparison = execution.and_then(Execution::end);
                let compared =
                    comparison.map(|comparison| context.measure(|| comparison.answer(&result)));
                let cost = context.cost();
                telemetry::flight_cost(&flight_span, cost);
                FlightOutcome {
                    result,
                    cost,
                    compared,
                    overlaps,
                    span: flight_span,
                    request_id: id,
                }
            })
            .instrument(span)
        };
        let flight = match freshness {
            Freshness::Any => self.table.call(key, work),
            Freshness::New => self.table.call_fresh(key, work),
        };
        match flight.await {
            Ok(output) => {
                Span::current().follows_from(&output.value.span);
                Reply {
                    flight: Some(FlightInfo {
                        flight: output.flight,
                        role: output.role,
                        callers: output.callers,
                    }),
                    result: output.value.result,
                    json: None,
                }
            }
            Err(error) => Err(to_client_error(&error)).into(),
        }
    }
}

/// Counts a flight that has ended.
fn count(
    metrics: &ClientMetrics,
    call: &Call,
    ended: &EndedFlight<'_, FlightOutcome>,
    equal: Option<bool>,
) {
    let (outcome, limit, cost, overlaps) = match &ended.end {
        FlightEnd::Landed(landed) => {
            let error = landed.result.as_ref().err();
            let outcome = error.map_or("ok", ClientError::code);
            let limit = error.and_then(ClientError::limit);
            (outcome, limit, landed.cost, landed.overlaps)
        }
        FlightEnd::Cancelled => {
            let code = ClientError::Cancelled.code();
            (code, None, FlightCost::default(), false)
        }
        FlightEnd::Panicked(_) => {
            let code = ClientError::Internal.code();
            (code, None, FlightCost::default(), false)
        }
    };
    metrics.flight(&FlightMetrics {
        outcome,
        limit,
        age: ended.age,
        record: FlightRecord {
            call,
            callers: ended.callers,
            cost,
            would_have_joined: ended.would_have_joined.is_some() || overlaps,
            equal,
        },
    });
}

/// The error of a caller that the table has no outcome for.
fn to_client_error(error: &Error) -> ClientError {
    match error {
        // Only a client in the host's own code can call itself; no guest can.
        Error::Panicked { .. } | Error::WouldDeadlock => ClientError::Internal,
        Error::Cancelled { .. } | Error::Draining => ClientError::Cancelled,
        Error::TooManyFlights { .. } => ClientError::Overloaded(Resource::Flights),
        Error::TooManyExecutions { .. } => ClientError::Overloaded(Resource::FlightsOfKey),
        Error::TooManyCallers { .. } => ClientError::Overloaded(Resource::Callers),
    }
}
