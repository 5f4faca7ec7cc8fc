//! [`WithSingleFlight`]: callers of one key share one call of `next`.
//!
//! The table and its promises are the `single-flight` crate's; here is what a flight's key is, what
//! its outcome is, and how the table's refusals are told to callers.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use single_flight::{Error, Group, Policy};
use tracing::{Instrument, Span};

use super::{Answer, Client, ClientError, Generation, Items, Key, Resource, Seat, telemetry};
use crate::config::Limits;

/// Whether callers of one key share a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sharing {
    /// They do.
    #[default]
    Coalesced,
    /// Every call is a flight of its own, and all else stays the same: the same task, bounds and
    /// log line per flight.
    Off,
}

/// Makes the callers of one key share one call of `next`, and its answer.
///
/// A clone shares the table: two fetchers that hold clones of one decorated client make one call.
/// Decorating a client twice makes two tables, and they make two.
#[derive(Debug)]
pub struct WithSingleFlight<C> {
    name: Arc<str>,
    next: Arc<C>,
    table: Group<FlightKey, Landing>,
    sharing: Sharing,
}

impl<C> Clone for WithSingleFlight<C> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            next: Arc::clone(&self.next),
            table: self.table.clone(),
            sharing: self.sharing,
        }
    }
}

/// What makes two calls the same: the load of a component, and the whole key. Nothing of a caller
/// is in it, and nothing of a caller reaches the guest, so an answer cannot belong to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FlightKey {
    generation: Generation,
    key: Key,
    /// Set where nothing is shared: differs in every call.
    alone: Option<u64>,
}

/// What a flight leaves to its callers.
#[derive(Clone, Debug)]
struct Landing {
    result: Result<Items, ClientError>,
    /// The flight's span, for its callers' spans to link to. The span itself and not its id: a span
    /// that has closed before its callers wake could not be linked to.
    span: Span,
}

impl<C: Client> WithSingleFlight<C> {
    /// Decorates `next` with a table of its own, bounded by `limits.flights` and `limits.callers`.
    /// `name` is the client's, for its spans and log lines.
    pub fn new(name: &str, next: C, sharing: Sharing, limits: &Limits) -> Self {
        let name: Arc<str> = name.into();
        let policy = Policy {
            flights: limits.flights,
            callers_per_flight: limits.callers,
            ..Policy::default()
        };
        let table = Group::with_observer(policy, Instant::now, {
            let name = Arc::clone(&name);
            move |key: &FlightKey, ended: &single_flight::Ended<'_, Landing>| {
                telemetry::flight_ended(&name, &key.key, ended, |landing| &landing.result);
            }
        });
        Self {
            name,
            next: Arc::new(next),
            table,
            sharing,
        }
    }

    /// Whether callers share flights.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.sharing
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

    /// Opens no flight any more; ends when all that are open have landed, or cancels them when
    /// `deadline` is ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the table closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) {
        self.table.drain(deadline).await;
    }
}

impl<C: Client> Client for WithSingleFlight<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight: the other callers keep it, and the last to leave
    /// cancels it.
    async fn get_items(&self, key: Key) -> Answer {
        let flight_key = FlightKey {
            generation: self.generation(),
            key: key.clone(),
            alone: self.sharing.serial(),
        };
        let (name, next) = (Arc::clone(&self.name), Arc::clone(&self.next));
        let call = self.table.call(flight_key, move |flight| {
            let span = telemetry::flight_span(&name, flight, &key);
            let landed = span.clone();
            async move {
                Landing {
                    result: next.get_items(key).await.result,
                    span: landed,
                }
            }
            .instrument(span)
        });
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
}

impl Sharing {
    fn serial(self) -> Option<u64> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Coalesced => None,
            Self::Off => Some(NEXT.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// What a caller is told when the table has no outcome for it.
fn told(error: &Error) -> ClientError {
    match error {
        // A client of the host's own that calls itself: no guest can.
        Error::Panicked { .. } | Error::WouldDeadlock => ClientError::Internal,
        Error::Cancelled { .. } | Error::Draining => ClientError::Cancelled,
        Error::TooManyFlights { .. } | Error::TooManyExecutions { .. } => {
            ClientError::Overloaded(Resource::Flights)
        }
        Error::TooManyCallers { .. } => ClientError::Overloaded(Resource::Callers),
    }
}
