//! [`Explanation`]: what would happen to a caller who asked now, and by what that is decided.
//!
//! It is what the table and the limits would say, as far as they can be looked at without asking: flights
//! open and land while it is made, and a guest may do what it likes.

use serde::{Deserialize, Serialize};

use crate::client::FlightControl;
use crate::model::{
    Call, ClientError, FlightSnapshot, Generation, Limits, Resource, Sharing, Usage,
};
use crate::settings::Settings;

/// What would happen to a caller who asked for a key now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who answers.
    pub client: String,
    /// Which load of it.
    pub generation: String,
    /// The key's hash, as it stands in the log.
    pub key: String,
    /// Whether callers share flights.
    pub shares: bool,
    /// The greatest age of a flight that a caller joins, in milliseconds; any where there is none.
    pub join_window_ms: Option<u64>,
    /// Whether a caller may have a flight that nobody opened before.
    pub allow_fresh: bool,
    /// The key's flights that are under way, the oldest first.
    pub flights_of_key: Vec<Explained>,
    /// The client's flights that are under way.
    pub flights: usize,
    /// Those that run.
    pub running: usize,
    /// Those that wait for their turn to run.
    pub waiting: usize,
    /// What these are held to.
    pub limits: Bounds,
    /// What would happen.
    pub next: Next,
}

/// A flight that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// As the log names it.
    pub flight: String,
    /// Its age, in milliseconds.
    pub age_ms: Option<u64>,
    /// Callers that wait for it.
    pub callers: usize,
    /// Whether a caller joins it.
    pub joinable: bool,
}

/// The limits that decide over a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Flights open at once; none where nothing is shared.
    pub flights: Option<usize>,
    /// Callers of one flight.
    pub callers: usize,
    /// Flights of one key under way at once; none where nothing is shared.
    pub flights_of_key: Option<usize>,
    /// Flights that run at once.
    pub running: usize,
    /// The wait for a turn to run, in milliseconds.
    pub queue_ms: u64,
    /// A flight in all, in milliseconds.
    pub flight_ms: u64,
}

/// What happens to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Next {
    /// It joins a flight.
    Joins {
        /// Which.
        flight: String,
        /// Until it is answered at the latest, in milliseconds.
        within_ms: u64,
    },
    /// It opens a flight.
    Opens {
        /// Whether that one has to wait for its turn to run.
        waits: bool,
        /// The flight that it would join, were they shared.
        would_have_joined: Option<String>,
        /// Until it is answered at the latest, in milliseconds.
        within_ms: u64,
    },
    /// It is refused.
    Refused {
        /// With this code.
        code: String,
        /// And these words.
        reason: String,
    },
}

impl From<&FlightSnapshot> for Explained {
    fn from(flight: &FlightSnapshot) -> Self {
        Self {
            flight: flight.flight.to_string(),
            age_ms: flight.age.map(milliseconds),
            callers: flight.callers,
            joinable: flight.joinable,
        }
    }
}

impl Explanation {
    pub(super) fn new(
        call: &Call,
        settings: &Settings,
        control: &FlightControl,
        generation: Generation,
        usage: Usage,
    ) -> Self {
        let (mut flights_of_key, mut flights) = (Vec::new(), 0);
        control.visit(|of, flight| {
            flights += 1;
            if of == call {
                flights_of_key.push(Explained::from(flight));
            }
        });
        flights_of_key.sort_by_key(|flight| std::cmp::Reverse(flight.age_ms));
        let (shares, join_window, allow_fresh) = match settings.sharing {
            Sharing::Coalesced {
                join_window,
                allow_fresh,
            } => (true, join_window, allow_fresh),
            Sharing::Observed => (false, None, false),
        };
        let limits = Bounds::of(&settings.limits, shares);
        let next = Next::of(
            &flights_of_key,
            flights,
            &limits,
            control.is_draining(),
            usage.running + usage.waiting >= limits.running,
        );
        Self {
            client: settings.name.clone(),
            generation: generation.to_string(),
            key: call.to_string(),
            shares,
            join_window_ms: join_window.map(milliseconds),
            allow_fresh,
            flights_of_key,
            flights,
            running: usage.running,
            waiting: usage.waiting,
            limits,
            next,
        }
    }
}

impl Bounds {
    fn of(limits: &Limits, shares: bool) -> Self {
        Self {
            flights: shares.then_some(limits.max_flights),
            callers: limits.max_callers,
            // The table lets one be superseded by another at least.
            flights_of_key: shares.then_some(limits.max_executions_per_key.max(2)),
            running: limits.max_executions,
            queue_ms: milliseconds(limits.queue_timeout),
            flight_ms: milliseconds(limits.flight_timeout),
        }
    }
}

impl Next {
    /// `is_full` says that as many run as may.
    fn of(
        of_key: &[Explained],
        flights: usize,
        limits: &Bounds,
        is_draining: bool,
        is_full: bool,
    ) -> Self {
        let open = of_key.iter().find(|flight| flight.joinable);
        let has_reached =
            |count: usize, limit: Option<usize>| limit.is_some_and(|limit| count >= limit);
        if let Some(open) = open {
            if open.callers >= limits.callers {
                return Self::refused(&ClientError::Overloaded(Resource::Callers));
            }
            return Self::Joins {
                flight: open.flight.clone(),
                within_ms: limits
                    .flight_ms
                    .saturating_sub(open.age_ms.unwrap_or_default()),
            };
        }
        if is_draining {
            return Self::refused(&ClientError::Cancelled);
        }
        if limits.callers == 0 {
            return Self::refused(&ClientError::Overloaded(Resource::Callers));
        }
        if has_reached(of_key.len(), limits.flights_of_key) {
            return Self::refused(&ClientError::Overloaded(Resource::FlightsOfKey));
        }
        if has_reached(flights, limits.flights) {
            return Self::refused(&ClientError::Overloaded(Resource::Flights));
        }
        let oldest = of_key.first().filter(|_| limits.flights.is_none());
        Self::Opens {
            waits: is_full,
            would_have_joined: oldest.map(|flight| flight.flight.clone()),
            within_ms: limits.flight_ms,
        }
    }

    fn refused(error: &ClientError) -> Self {
        Self::Refused {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
