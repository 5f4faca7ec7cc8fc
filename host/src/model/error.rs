//! [`ClientError`]: why a call has no outcome. One variant per decision that a caller can take, each with its code.
//!
//! Messages are the host's own, and no variant has room for others: the error text of a guest, and the names and
//! addresses of upstreams, go to the log.

use std::fmt;
use std::time::Duration;

/// Why a call has no outcome. All callers of a flight get the same error, and nothing stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The client does not accept the key.
    InvalidKey,
    /// There is nothing with this key.
    NotFound,
    /// The upstream responded with an HTTP status that is not a success.
    UpstreamStatus {
        /// The status.
        status: u16,
        /// How long to wait before the next request, if the upstream stated it.
        retry_after: Option<Duration>,
    },
    /// The upstream could not be reached, or its response broke off.
    UpstreamUnavailable,
    /// The client could not parse the upstream's response.
    UpstreamMalformed,
    /// The client failed in a way that has no variant of its own.
    Other,
    /// The client's policy denied a request. What was denied, and the flag that would allow it, concern the
    /// operator: they are in the log.
    UpstreamDenied,
    /// The head or the body of the upstream's response exceeds its limit.
    UpstreamResponseTooLarge,
    /// An upstream request exceeded its timeout, or was open at the flight's deadline.
    UpstreamTimeout,
    /// The upstream limits the rate of requests.
    RateLimited {
        /// How long to wait before the next request, if the upstream stated it.
        retry_after: Option<Duration>,
    },
    /// The guest trapped, panicked or exited.
    GuestTrap,
    /// The guest's answer violates the contract: invalid JSON, a repeated id, an invalid pointer.
    GuestMalformed,
    /// The guest's answer exceeds the limit of bytes or items.
    ResultTooLarge,
    /// The guest exceeded its processor time, or was running at the flight's deadline.
    GuestDeadline,
    /// A limit was reached, and the call was refused.
    Overloaded(Resource),
    /// The flight was cancelled: the host is shutting down.
    Cancelled,
    /// A bug of the host.
    Internal,
}

/// Names variants by one table, which is also the list of all names, so that the two cannot disagree.
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
        /// All codes.
        CODES,
        /// The stable name for machines, in `kebab-case`: the same in HTTP responses, logs and metrics.
        code,
        Self::InvalidKey => "invalid-key",
        Self::NotFound => "not-found",
        Self::UpstreamStatus { .. } => "upstream-status",
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

    /// The limit that was reached, if the error is about one.
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
            Self::InvalidKey => {
                f.write_str("the client does not accept this key; request another one")
            }
            Self::NotFound => f.write_str("there is nothing with this key"),
            Self::UpstreamStatus {
                status,
                retry_after,
            } => {
                write!(f, "the upstream responded with status {status}")?;
                match retry_after {
                    None => Ok(()),
                    Some(wait) => write!(f, "; try again in {} s", wait.as_secs()),
                }
            }
            Self::UpstreamUnavailable => f.write_str(
                "the upstream could not be reached, or its response broke off; try again later",
            ),
            Self::UpstreamMalformed => f.write_str(
                "the client could not parse the upstream's response; the log has the reason",
            ),
            Self::Other => f.write_str("the client failed; the log has the reason"),
            Self::UpstreamDenied => f.write_str(
                "the client's policy denied a request; the log has the flag that allows it",
            ),
            Self::UpstreamResponseTooLarge => f.write_str(
                "the upstream's response is larger than the host accepts; the log has the limit",
            ),
            Self::UpstreamTimeout => f.write_str("the upstream took too long; try again later"),
            Self::RateLimited { retry_after: None } => {
                f.write_str("the upstream limits the rate of requests; try again later")
            }
            Self::RateLimited {
                retry_after: Some(wait),
            } => {
                write!(
                    f,
                    "the upstream limits the rate of requests; try again in {} s",
                    wait.as_secs()
                )
            }
            Self::GuestTrap => f.write_str("the guest crashed; the log has its last output"),
            Self::GuestMalformed => {
                f.write_str("the guest's answer violates the contract; the log has the reason")
            }
            Self::ResultTooLarge => {
                f.write_str("the guest's answer is larger than the host accepts; request less")
            }
            Self::GuestDeadline => f.write_str("the guest took too long"),
            Self::Overloaded(resource) => write!(f, "{resource}; try again later"),
            Self::Cancelled => {
                f.write_str("the host is shutting down; try another host, or again later")
            }
            Self::Internal => f.write_str("internal error of the host; the log has the reason"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Which limit refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The client's open flights.
    Flights,
    /// The flights of one key, including superseded ones that have not ended.
    FlightsOfKey,
    /// The callers of one flight.
    Callers,
    /// The client's permits to execute: none became free within the queue timeout.
    Executions,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flights => "the client has its maximum number of open flights",
            Self::FlightsOfKey => "the key has its maximum number of flights",
            Self::Callers => "the key has its maximum number of waiting callers",
            Self::Executions => "no permit to run the guest became free in time",
        })
    }
}

/// A limit as metrics count it. Most limits end a flight with an error; a guest continues at the others.
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
    /// A guest's processor time, or the flight's deadline.
    Time,
    /// The bytes or items of a guest's answer.
    Result,
    /// A timeout of an upstream request.
    UpstreamTime,
    /// The bytes of an upstream's response.
    UpstreamResponse,
    /// A guest's memory: growing it failed in the guest.
    Memory,
    /// A guest's output: the rest was dropped.
    Log,
}

impl Limit {
    names! {
        /// All names.
        NAMES,
        /// The stable name for machines, as in metrics.
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
