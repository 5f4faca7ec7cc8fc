//! The JSON documents of the admin API, and problem details: written by the server, read by `oneflight observe` and
//! `oneflight explain`.
//!
//! Plain data, a leaf: the parts that fill it import it. Only the dashboard's events are not here; no program but
//! the dashboard's script, served beside them, reads those.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// `GET /v1/flights`: the open flights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightsReport {
    /// Each load of a client. A load that was replaced is listed as long as it has callers.
    pub clients: Vec<ClientFlights>,
}

/// The open flights of one load of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFlights {
    /// The client's name.
    pub client: String,
    /// The number of the load.
    pub generation: String,
    /// Its flights, in no order.
    pub flights: Vec<KeyedFlight>,
}

/// An open flight with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedFlight {
    /// The key's hash, as in the log.
    pub key: String,
    /// The flight.
    #[serde(flatten)]
    pub flight: FlightStatus,
}

/// An open flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightStatus {
    /// Its number, as in the log.
    pub flight: String,
    /// Its age, in milliseconds.
    pub age_ms: Option<u64>,
    /// Callers that wait for it.
    pub callers: usize,
    /// Whether the next caller joins it.
    pub joinable: bool,
}

/// `POST /v1/{client}/forget`: whether there was a flight to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Whether a flight of the key was open to join, and is no more.
    pub forgotten: bool,
}

/// `GET /v1/{client}/explain`: what would happen to a caller that called a key now, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The client's name.
    pub client: String,
    /// The number of its load.
    pub generation: String,
    /// The key's hash, as in the log.
    pub key: String,
    /// Whether callers share flights.
    pub shares: bool,
    /// The greatest age of a flight that a caller joins, in milliseconds; `None` for no limit.
    pub join_window_ms: Option<u64>,
    /// Whether a caller may request a fresh flight.
    pub allow_fresh: bool,
    /// The key's open flights, the oldest first.
    pub flights_of_key: Vec<FlightStatus>,
    /// How many flights of the client are open.
    pub flights: usize,
    /// How many of them run.
    pub running: usize,
    /// How many of them wait for a permit to run.
    pub waiting: usize,
    /// The limits that decide.
    pub limits: ExplainedLimits,
    /// What would happen.
    pub next: NextCall,
}

/// The limits that decide about a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLimits {
    /// Open flights; `None` if nothing is shared.
    pub flights: Option<usize>,
    /// Callers of one flight.
    pub callers: usize,
    /// Open flights of one key; `None` if nothing is shared.
    pub flights_of_key: Option<usize>,
    /// Running flights.
    pub running: usize,
    /// The wait for a permit to run, in milliseconds.
    pub queue_ms: u64,
    /// A whole flight, in milliseconds.
    pub flight_ms: u64,
}

/// What happens to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum NextCall {
    /// It joins a flight.
    Joins {
        /// The flight's number.
        flight: String,
        /// When it gets a reply at the latest, in milliseconds.
        within_ms: u64,
    },
    /// It opens a flight.
    Opens {
        /// Whether the flight has to wait for a permit to run.
        waits: bool,
        /// The flight that the caller would join if flights were shared.
        would_have_joined: Option<String>,
        /// When it gets a reply at the latest, in milliseconds.
        within_ms: u64,
    },
    /// It is refused.
    Refused {
        /// The error's code.
        code: String,
        /// The error's message.
        reason: String,
    },
}

/// `POST /v1/observe`: what was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservationReport {
    /// How long the observation took.
    pub seconds: f64,
    /// The clients that had flights.
    pub clients: Vec<ClientStats>,
}

/// The part of a report about one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientStats {
    /// The client's name.
    pub client: String,
    /// Of all its flights.
    #[serde(flatten)]
    pub stats: Stats,
    /// How many keys the flights had, up to the number of keys that an observation counts.
    pub keys_seen: usize,
    /// The keys with the most duplicates; among equals, those with the most callers.
    pub keys: Vec<KeyStats>,
}

/// The part of a report about one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyStats {
    /// The key, or its hash.
    pub key: String,
    /// Of its flights.
    #[serde(flatten)]
    pub stats: Stats,
}

/// Flights that ended, and what sharing saved or would save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Callers of these flights.
    pub callers: u64,
    /// The flights, each a call of the guest.
    pub flights: u64,
    /// What the flights cost that landed; the cost of a cancelled flight is not recorded.
    pub cost: Amount,
    /// Callers that joined a flight, and what flights of their own would have cost.
    pub saved: Amount,
    /// Callers that would have joined a flight if flights were shared, and what their own flights cost.
    pub would_save: Amount,
    /// Answers that equalled the one that would have been shared.
    pub equal: u64,
    /// Answers that differed from it.
    pub unequal: u64,
}

/// Calls, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Calls of the guest.
    pub calls: u64,
    /// Requests to upstreams.
    pub upstream_requests: u64,
    /// The time of all these requests together.
    pub upstream_seconds: f64,
    /// Processor time of guests.
    pub guest_seconds: f64,
}

impl Stats {
    /// Callers whose own flight was or would have been saved.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.saved.calls + self.would_save.calls
    }
}

/// RFC 9457, section 3.1: the members of problem details, with `code` as an extension. Both APIs send it with every
/// error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// The reason phrase of the status.
    pub title: Cow<'static, str>,
    /// The status code.
    pub status: u16,
    /// One word for programs, as in the README.
    pub code: Cow<'static, str>,
    /// One sentence for people.
    pub detail: String,
}
