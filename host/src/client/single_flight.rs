//! [`WithSingleFlight`]: callers of one key share one call of `next`.
//!
//! The table and its promises are the `single-flight` crate's; here is what a flight's key is, what
//! its outcome is, and how the table's refusals are told to callers.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use single_flight::{EndedFlight, Error, FlightEnd, Group, Policy};
use tracing::{Instrument, Span};

use super::equality::{Execution, Overlap, Overlaps};
use super::{
    Answer, Client, ClientError, FlightSnapshot, Generation, Items, Key, Resource, Seat, Usage,
    telemetry,
};
use crate::config::{Settings, Sharing};
use crate::metrics::{self, ClientMetrics};
use crate::observation::{Noted, Spent};
use crate::upstream::Outbound;

/// Makes the callers of one key share one call of `next`, and its answer.
///
/// A clone shares the table: two fetchers that hold clones of one decorated client make one call.
/// Decorating a client twice makes two tables, and they make two.
#[derive(Debug)]
pub struct WithSingleFlight<C> {
    flights: Arc<Flights<C>>,
    table: Group<FlightKey, Landing>,
}

/// What a flight is made with. In one piece, so that a caller who only joins one holds it once.
#[derive(Debug)]
struct Flights<C> {
    name: Arc<str>,
    next: C,
    metrics: ClientMetrics,
    /// Where nothing is shared: what would have been.
    overlaps: Option<Arc<Overlaps>>,
}

impl<C> Clone for WithSingleFlight<C> {
    fn clone(&self) -> Self {
        Self {
            flights: Arc::clone(&self.flights),
            table: self.table.clone(),
        }
    }
}

/// What makes two calls the same: the load of a component, and the whole key. Nothing of a caller
/// is in it, and nothing of a caller reaches the guest, so an answer cannot belong to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FlightKey {
    generation: Generation,
    key: Key,
}

/// What flight a caller takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// The one that is open, or its own where none is.
    Open,
    /// None but its own.
    Own,
}

/// What a flight leaves to its callers.
#[derive(Clone, Debug)]
struct Landing {
    result: Result<Items, ClientError>,
    spent: Spent,
    /// The executions with which it would have been shared.
    overlap: Option<Arc<Overlap>>,
    /// The flight's span, for its callers' spans to link to. The span itself and not its id: a span
    /// that has closed before its callers wake could not be linked to.
    span: Span,
}

impl<C: Client> WithSingleFlight<C> {
    /// Decorates `next` with a table of its own, whose flights are bounded and shared as `settings` say.
    pub fn new(next: C, settings: &Settings) -> Self {
        let name: Arc<str> = settings.name.as_str().into();
        let (sharing, join_window, overlaps) = match settings.sharing {
            Sharing::Coalesced { join_window, .. } => {
                (single_flight::SharingMode::Share, join_window, None)
            }
            Sharing::Observed => (
                single_flight::SharingMode::Observe,
                None,
                Some(Arc::<Overlaps>::default()),
            ),
        };
        let policy = Policy {
            max_flights: settings.limits.flights,
            max_callers_per_flight: settings.limits.callers,
            max_executions_per_key: Some(settings.limits.executions_per_key),
            join_window,
            abandoned: settings.abandoned,
            sharing,
        };
        let table = Group::with_observer(policy, Instant::now, {
            let (name, metrics) = (Arc::clone(&name), settings.metrics.clone());
            move |key: &FlightKey, ended: &EndedFlight<'_, Landing>| {
                let equal = match &ended.end {
                    FlightEnd::Landed(landing) => landing.equal(),
                    _ => None,
                };
                telemetry::flight_ended(&name, &key.key, ended, equal, |landing| {
                    (&landing.result, &landing.span)
                });
                count(&metrics, &key.key, ended, equal);
            }
        });
        let metrics = settings.metrics.clone();
        Self {
            flights: Arc::new(Flights {
                name,
                next,
                metrics,
                overlaps,
            }),
            table,
        }
    }

    /// How many flights are under way.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.table.flights()
    }

    /// How many callers are waiting for one of them.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.table.callers()
    }

    /// Whether a [drain](WithSingleFlight::drain) has started.
    pub(crate) fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// Closes the flight of `key` to callers that ask from now on. True if there was one.
    pub fn forget(&self, key: &Key) -> bool {
        self.table.forget(&self.flight_key(key))
    }

    /// Opens no flight any more; ends when all that are open have landed, or cancels them when
    /// `deadline` is ready. Returns how many it cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the table closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        self.table.drain(deadline).await
    }

    /// Shows every flight that is under way, those included that callers join no more. It takes time for
    /// each of them, and is not for a hot path.
    pub fn visit(&self, mut show: impl FnMut(&Key, &FlightSnapshot)) {
        self.table.visit(|key, under_way| show(&key.key, under_way));
    }

    /// Asks for an answer that was not on its way before: opens a flight in the place of the one that
    /// is open, which lands for those who are on it. Refused where the key has as many flights under way
    /// as [`Limits::executions_per_key`](crate::Limits::executions_per_key) says.
    ///
    /// # Cancel safety
    ///
    /// As of [`get_items`](Client::get_items). The flight that it superseded stays so.
    pub fn get_items_anew(&self, key: Key) -> impl Future<Output = Answer> + Send {
        self.ask(key, Takes::Own)
    }

    async fn ask(&self, key: Key, takes: Takes) -> Answer {
        let flight_key = self.flight_key(&key);
        let flights = Arc::clone(&self.flights);
        let work = move |flight| {
            let span = telemetry::flight_span(&flights.name, flight, &key);
            let outbound = Outbound::counted_by(&flights.metrics);
            let landed = span.clone();
            let overlaps = flights.overlaps.as_ref();
            // What a caller asked for anew would have been shared with none that was there before.
            let overlaps = overlaps.filter(|_| takes == Takes::Open);
            let overlapping = overlaps.map(|overlaps| overlaps.begin(&key));
            async move {
                let execution = flights.next.get_items(key);
                Landing {
                    result: Arc::clone(&outbound).around(execution).await.result,
                    spent: outbound.spent(),
                    overlap: overlapping.and_then(Execution::end),
                    span: landed,
                }
            }
            .instrument(span)
        };
        let call = match takes {
            Takes::Open => self.table.call(flight_key, work),
            Takes::Own => self.table.call_fresh(flight_key, work),
        };
        match call.await {
            Ok(landed) => {
                Span::current().follows_from(&landed.value.span);
                let seat = Seat {
                    flight: landed.flight,
                    role: landed.role,
                    callers: landed.callers,
                };
                Answer {
                    result: landed.value.result,
                    seat: Some(seat),
                }
            }
            Err(error) => Err(told(&error)).into(),
        }
    }

    fn flight_key(&self, key: &Key) -> FlightKey {
        FlightKey {
            generation: self.flights.next.generation(),
            key: key.clone(),
        }
    }
}

impl<C: Client> Client for WithSingleFlight<C> {
    fn generation(&self) -> Generation {
        self.flights.next.generation()
    }

    fn usage(&self) -> Usage {
        self.flights.next.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight: the other callers keep it, and the last to leave
    /// cancels it.
    fn get_items(&self, key: Key) -> impl Future<Output = Answer> + Send {
        self.ask(key, Takes::Open)
    }
}

impl Landing {
    /// Whether its answer is the one that its caller would have been given, had they come to be shared.
    fn equal(&self) -> Option<bool> {
        self.overlap.as_ref()?.compare(&self.result)
    }
}

/// Counts a flight that has ended.
fn count(
    metrics: &ClientMetrics,
    key: &Key,
    ended: &EndedFlight<'_, Landing>,
    equal: Option<bool>,
) {
    let (outcome, limit, spent) = match &ended.end {
        FlightEnd::Landed(landing) => {
            let error = landing.result.as_ref().err();
            let outcome = error.map_or("ok", ClientError::code);
            (outcome, error.and_then(ClientError::limit), landing.spent)
        }
        FlightEnd::Cancelled => (ClientError::Cancelled.code(), None, Spent::default()),
        FlightEnd::Panicked(_) => (ClientError::Internal.code(), None, Spent::default()),
    };
    metrics.flight(&metrics::Flight {
        outcome,
        limit,
        age: ended.age,
        noted: Noted {
            key,
            callers: ended.callers,
            spent,
            would_have_joined: ended.would_have_joined.is_some(),
            equal,
        },
    });
}

/// What a caller is told when the table has no outcome for it.
fn told(error: &Error) -> ClientError {
    match error {
        // A client of the host's own that calls itself: no guest can.
        Error::Panicked { .. } | Error::WouldDeadlock => ClientError::Internal,
        Error::Cancelled { .. } | Error::Draining => ClientError::Cancelled,
        Error::TooManyFlights { .. } => ClientError::Overloaded(Resource::Flights),
        Error::TooManyExecutions { .. } => ClientError::Overloaded(Resource::FlightsOfKey),
        Error::TooManyCallers { .. } => ClientError::Overloaded(Resource::Callers),
    }
}
