//! Why a caller has no items: one variant per decision that a caller can take, each with its code.
//!
//! Messages are the host's own words, and no variant has room for any others: what a guest said, and
//! the names and addresses of upstreams, go to the log.

use std::fmt;
use std::time::Duration;

/// Why there are no items. All callers of a flight get the same one, and nothing keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The key means nothing to the client.
    InvalidKey,
    /// The key names nothing.
    NotFound,
    /// The upstream answered with this HTTP status.
    UpstreamStatus(u16),
    /// The upstream could not be reached, or broke off before its answer was whole.
    UpstreamUnavailable,
    /// The upstream answered with something that the client cannot read.
    UpstreamMalformed,
    /// The client failed in a way that has no case of its own.
    Other,
    /// A request was refused before it reached the wire. What was refused, and the flag that would
    /// permit it, are the operator's to know: they stand in the log.
    UpstreamDenied,
    /// The upstream's answer, its head or its body, is larger than the host takes.
    UpstreamResponseTooLarge,
    /// The upstream took longer than the host allows, or than the flight had left.
    UpstreamTimeout,
    /// The upstream asks for fewer calls.
    RateLimited {
        /// How long it asks to wait, where it said.
        retry_after: Option<Duration>,
    },
    /// The guest trapped, panicked or exited.
    GuestTrap,
    /// The guest's answer breaks the contract: text that is no JSON, an id twice, a bad pointer.
    GuestMalformed,
    /// The guest's answer has more bytes or items than the host takes.
    ResultTooLarge,
    /// The guest ran longer than its flight or its share of processor time.
    GuestDeadline,
    /// A bound was reached, and the call was refused rather than queued.
    Overloaded(Resource),
    /// The flight was cancelled under its callers: the host is going down.
    Cancelled,
    /// A bug of the host.
    Internal,
}

/// Names cases by one table, which is also the list of all names: the two cannot disagree.
macro_rules! names {
    (
        $(#[$of_all:meta])* $all:ident,
        $(#[$of_one:meta])* $one:ident,
        $($case:pat => $name:literal,)+
    ) => {
        $(#[$of_all])*
        pub const $all: &[&str] = &[$($name),+];

        $(#[$of_one])*
        #[must_use]
        pub fn $one(&self) -> &'static str {
            match self {
                $($case => $name,)+
            }
        }
    };
}

impl ClientError {
    names! {
        /// All codes that there are.
        CODES,
        /// The stable name, for machines: `kebab-case`, the same in HTTP answers, logs and metrics.
        code,
        Self::InvalidKey => "invalid-key",
        Self::NotFound => "not-found",
        Self::UpstreamStatus(_) => "upstream-status",
        Self::UpstreamUnavailable => "upstream-unavailable",
        Self::UpstreamMalformed => "upstream-malformed",
        Self::Other => "other",
        Self::UpstreamDenied => "upstream-denied",
        Self::UpstreamResponseTooLarge => "upstream-response-too-large",
        Self::UpstreamTimeout => "upstream-timeout",
        Self::RateLimited { .. } => "rate-limited",
        Self::GuestTrap => "guest-trap",
        Self::GuestMalformed => "guest-malformed",
        Self::ResultTooLarge => "result-too-large",
        Self::GuestDeadline => "guest-deadline",
        Self::Overloaded(_) => "overloaded",
        Self::Cancelled => "cancelled",
        Self::Internal => "internal",
    }

    /// The limit that was reached, where that is what it says.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        Some(match self {
            Self::Overloaded(Resource::Flights) => Limit::Flights,
            Self::Overloaded(Resource::FlightsOfKey) => Limit::FlightsOfKey,
            Self::Overloaded(Resource::Callers) => Limit::Callers,
            Self::Overloaded(Resource::Executions) => Limit::Executions,
            Self::GuestDeadline => Limit::Time,
            Self::ResultTooLarge => Limit::Result,
            Self::UpstreamTimeout => Limit::UpstreamTime,
            Self::UpstreamResponseTooLarge => Limit::UpstreamResponse,
            _ => return None,
        })
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey => f.write_str("the client has no use for this key; ask with another"),
            Self::NotFound => f.write_str("the key names nothing"),
            Self::UpstreamStatus(status) => write!(f, "the upstream answered with status {status}"),
            Self::UpstreamUnavailable => {
                f.write_str("the upstream could not be reached, or broke off")
            }
            Self::UpstreamMalformed => {
                f.write_str("the upstream's answer is not what the client expects")
            }
            Self::Other => f.write_str("the client failed; its words are in the log"),
            Self::UpstreamDenied => f.write_str(
                "the client asked for what its policy denies; the log says how to permit it",
            ),
            Self::UpstreamResponseTooLarge => {
                f.write_str("the upstream's answer is larger than the host takes")
            }
            Self::UpstreamTimeout => f.write_str("the upstream took too long; try again later"),
            Self::RateLimited { retry_after: None } => {
                f.write_str("the upstream asks for fewer calls; try again later")
            }
            Self::RateLimited {
                retry_after: Some(wait),
            } => {
                write!(
                    f,
                    "the upstream asks for fewer calls; try again in {} s",
                    wait.as_secs()
                )
            }
            Self::GuestTrap => f.write_str("the guest crashed; its last words are in the log"),
            Self::GuestMalformed => {
                f.write_str("the guest's answer breaks the contract; the log says how")
            }
            Self::ResultTooLarge => {
                f.write_str("the guest's answer is larger than the host takes; ask for less")
            }
            Self::GuestDeadline => f.write_str("the guest took too long"),
            Self::Overloaded(resource) => write!(f, "{resource}; try again later"),
            Self::Cancelled => f.write_str("the host is going down; ask another, or again later"),
            Self::Internal => f.write_str("the host failed; the log says how"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Which bound refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The client's open flights.
    Flights,
    /// The flights of one key: superseded ones are still under way.
    FlightsOfKey,
    /// The callers of one flight.
    Callers,
    /// The client's permits to execute: none came free within the queue deadline.
    Executions,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flights => "the client has as many flights open as it may have",
            Self::FlightsOfKey => "the key has as many flights under way as it may have",
            Self::Callers => "the key has as many callers waiting as it may have",
            Self::Executions => "no permit to run the guest came free in time",
        })
    }
}

/// A limit that can be reached, as it is counted: most end what reaches them with an error, and a guest
/// goes on at the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The client's open flights.
    Flights,
    /// The flights of one key.
    FlightsOfKey,
    /// The callers of one flight.
    Callers,
    /// The client's permits to execute.
    Executions,
    /// A guest's time, by the clock or of the processor.
    Time,
    /// The bytes or items of a result.
    Result,
    /// The time of a request.
    UpstreamTime,
    /// The bytes of an upstream's answer.
    UpstreamResponse,
    /// A guest's memory: it was refused more, and told so.
    Memory,
    /// What a guest prints: the rest was dropped.
    Log,
}

impl Limit {
    names! {
        /// The names of all.
        NAMES,
        /// The stable name, for machines, as metrics have it.
        name,
        Self::Flights => "flights",
        Self::FlightsOfKey => "flights-of-key",
        Self::Callers => "callers",
        Self::Executions => "executions",
        Self::Time => "time",
        Self::Result => "result",
        Self::UpstreamTime => "upstream-time",
        Self::UpstreamResponse => "upstream-response",
        Self::Memory => "memory",
        Self::Log => "log",
    }
}
