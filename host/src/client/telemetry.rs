//! [`WithTelemetry`]: a span per caller, linked to the span of the flight that answered it; and one
//! log line per flight.
//!
//! It is outermost, because it counts callers. The spans and lines of flights are made by
//! [`WithSingleFlight`](super::WithSingleFlight), the only layer that knows of flights, in the words
//! that stand here. Keys appear as hashes, and nothing of an answer appears at all.

use std::sync::Arc;

use single_flight::{End, Ended};
use tracing::{Instrument, Span, field};

use super::{Answer, Client, ClientError, FlightId, Generation, Items, Key, Role};

/// Gives every caller a span that says which flight answered it and how.
#[derive(Clone, Debug)]
pub struct WithTelemetry<C> {
    name: Arc<str>,
    next: C,
}

impl<C> WithTelemetry<C> {
    /// Decorates `next`; `name` is the client's.
    pub fn new(name: &str, next: C) -> Self {
        Self {
            name: name.into(),
            next,
        }
    }

    /// The client inside.
    pub fn next(&self) -> &C {
        &self.next
    }
}

impl<C: Client> Client for WithTelemetry<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    /// # Cancel safety
    ///
    /// Dropping the future drops the call inside; the caller's span ends without a `code`.
    async fn get_items(&self, key: Key) -> Answer {
        let span = tracing::info_span!(
            "caller",
            client = &*self.name,
            key = %key,
            flight = field::Empty,
            role = field::Empty,
            code = field::Empty,
        );
        let answer = self.next.get_items(key).instrument(span.clone()).await;
        if let Some(seat) = answer.seat {
            span.record("flight", field::display(seat.flight));
            span.record(
                "role",
                match seat.role {
                    Role::Leader => "leader",
                    Role::Follower => "follower",
                },
            );
        }
        span.record("code", code(&answer.result));
        answer
    }
}

/// The span of one flight, in which its guest runs.
pub(super) fn flight_span(client: &str, flight: FlightId, key: &Key) -> Span {
    tracing::info_span!(parent: None, "flight", client, flight = %flight, key = %key)
}

/// The one line of one flight: at level info when it landed with items or with an answer about its
/// key, at warn when something failed, at error when that was the host.
pub(super) fn flight_ended<V>(
    client: &str,
    key: &Key,
    ended: &Ended<'_, V>,
    result: impl Fn(&V) -> &Result<Items, ClientError>,
) {
    let Ended {
        flight, callers, ..
    } = *ended;
    let ms = ended.age.as_millis();
    match &ended.end {
        End::Landed(value) => {
            let result = result(value);
            let code = code(result);
            match result {
                Ok(_) | Err(ClientError::InvalidKey | ClientError::NotFound) => {
                    tracing::info!(client, %flight, %key, callers, ms, code, "flight");
                }
                Err(reason) => {
                    tracing::warn!(client, %flight, %key, callers, ms, code, %reason, "flight");
                }
            }
        }
        End::Cancelled => {
            tracing::info!(client, %flight, %key, callers, ms, code = "cancelled", "flight");
        }
        End::Panicked(message) => {
            tracing::error!(client, %flight, %key, callers, ms, code = "internal", message, "flight");
        }
    }
}

fn code(result: &Result<Items, ClientError>) -> &'static str {
    result.as_ref().map_or_else(ClientError::code, |_| "ok")
}
