//! The JSON documents of the admin API, and problem details: written by the server, read by `oneflight observe` and
//! `oneflight explain`.
//!
//! Plain data that imports no other module: the modules that fill it import it. The dashboard's events are not here,
//! since only the dashboard's own script reads them.

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
    /// Whether an open flight of the key was closed to further callers.
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
    /// The maximum age of a flight that a caller joins, in milliseconds; `None` for no limit.
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
    /// The counts of all its flights.
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
    /// The counts of its flights.
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
    /// Callers that joined a flight, and what separate flights would have cost.
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
    /// The stable error code, for programs.
    pub code: Cow<'static, str>,
    /// The message, for people.
    pub detail: String,
    /// The error that a typed function returned, if the client's settings show it to callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    /// Asserts that `document` is written as `json`, and read back from it.
    #[track_caller]
    fn assert_json<T>(document: &T, json: serde_json::Value)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_value(document).unwrap(), json);
        assert_eq!(&serde_json::from_value::<T>(json).unwrap(), document);
    }

    #[test]
    fn a_flight_is_one_object_with_its_key() {
        let flight = KeyedFlight {
            key: "00ff".to_owned(),
            flight: FlightStatus {
                flight: "17".to_owned(),
                age_ms: Some(1_240),
                callers: 12,
                joinable: true,
            },
        };
        assert_json(
            &flight,
            json!({ "key": "00ff", "flight": "17", "age_ms": 1240, "callers": 12, "joinable": true }),
        );
    }

    #[test]
    fn a_prediction_is_one_object_with_its_kind() {
        let joins = NextCall::Joins {
            flight: "17".to_owned(),
            within_ms: 8_760,
        };
        assert_json(
            &joins,
            json!({ "what": "joins", "flight": "17", "within_ms": 8760 }),
        );
        let opens = NextCall::Opens {
            waits: false,
            would_have_joined: None,
            within_ms: 10_000,
        };
        assert_json(
            &opens,
            json!({ "what": "opens", "waits": false, "would_have_joined": null, "within_ms": 10000 }),
        );
    }

    #[test]
    fn a_report_has_its_stats_beside_the_name() {
        let nothing = json!({ "calls": 0, "upstream_requests": 0, "upstream_seconds": 0.0, "guest_seconds": 0.0 });
        let client = ClientStats {
            client: "orders".to_owned(),
            stats: Stats::default(),
            keys_seen: 0,
            keys: vec![],
        };
        assert_json(
            &client,
            json!({
                "client": "orders", "callers": 0, "flights": 0, "cost": nothing, "saved": nothing,
                "would_save": nothing, "equal": 0, "unequal": 0, "keys_seen": 0, "keys": [],
            }),
        );
    }

    #[test]
    fn problem_details_are_read_with_unknown_members() {
        let problem = ProblemDetails {
            title: "Not Found".into(),
            status: 404,
            code: "not-found".into(),
            detail: "there is nothing".to_owned(),
            err: None,
        };
        let mut json = json!({ "title": "Not Found", "status": 404, "code": "not-found", "detail": "there is nothing" });
        assert_json(&problem, json.clone());
        json["instance"] = "/1".into();
        assert_eq!(
            serde_json::from_value::<ProblemDetails>(json).unwrap(),
            problem
        );
    }
}
