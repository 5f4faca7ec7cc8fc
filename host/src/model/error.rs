//! [`ClientError`]: why a call has no outcome. One variant per decision that a caller can take, each with its code.
//!
//! An error about a limit names the setting that raises it. Messages are the host's own, and no variant has room for
//! others: the error text of a guest, and the names and addresses of upstreams, go to the log.

use std::fmt;
use std::time::Duration;

use super::outcome::RenderedValue;

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
    /// A typed function returned the `err` of its `result`.
    Client(Box<FunctionError>),
    /// The client's policy denied a request. What was denied, and the flag that would allow it, concern the
    /// operator: they are in the log.
    UpstreamDenied,
    /// The head or the body of the upstream's response exceeds this setting.
    UpstreamResponseTooLarge(&'static str),
    /// An upstream request exceeded this setting; `None` for a timeout that the guest set. If the request was open at
    /// the flight's deadline, it is `flight_timeout`. It is `max_connections` if a request had no connection by then.
    UpstreamTimeout(Option<&'static str>),
    /// The upstream limits the rate of requests.
    RateLimited {
        /// How long to wait before the next request, if the upstream stated it.
        retry_after: Option<Duration>,
    },
    /// The guest trapped, panicked or exited.
    GuestTrap,
    /// The guest's answer violates the contract: invalid JSON, a repeated id, an invalid pointer.
    GuestMalformed,
    /// The guest's answer exceeds this setting: the limit of bytes or of items.
    ResultTooLarge(&'static str),
    /// The guest exceeded this setting: its processor time, or the flight's deadline.
    GuestDeadline(&'static str),
    /// A limit was reached, and the call was refused.
    Overloaded(Resource),
    /// The flight was cancelled: the host is shutting down.
    Cancelled,
    /// The component has no such function, or the call was made for another load of it.
    UnknownFunction,
    /// A bug of the host.
    Internal,
}

/// The `err` that a typed function returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// The error that the name of its case is the code of, if there is one that a guest may report.
    pub named: Option<ClientError>,
    /// The value itself; `None` if the client's settings keep it from callers, or its type contains nothing.
    pub err: Option<RenderedValue>,
}

/// Names variants by one table, which is also the list of all names, so that the two cannot disagree.
macro_rules! names {
    (
        $(#[$of_all:meta])* $all:ident,
        $(#[$of_one:meta])* $visible:vis $one:ident,
        $($case:pat => $name:literal,)+
    ) => {
        $(#[$of_all])*
        pub const $all: &[&str] = &[$($name),+];

        $(#[$of_one])*
        #[must_use]
        $visible fn $one(&self) -> &'static str {
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
        /// The code of the variant.
        variant_code,
        Self::InvalidKey => "invalid-key",
        Self::NotFound => "not-found",
        Self::UpstreamStatus { .. } => "upstream-status",
        Self::UpstreamUnavailable => "upstream-unavailable",
        Self::UpstreamMalformed => "upstream-malformed",
        Self::Other => "other",
        Self::Client(_) => "client-error",
        Self::UpstreamDenied => "upstream-denied",
        Self::UpstreamResponseTooLarge(_) => "upstream-response-too-large",
        Self::UpstreamTimeout(_) => "upstream-timeout",
        Self::RateLimited { .. } => "rate-limited",
        Self::GuestTrap => "guest-trap",
        Self::GuestMalformed => "guest-malformed",
        Self::ResultTooLarge(_) => "result-too-large",
        Self::GuestDeadline(_) => "guest-deadline",
        Self::Overloaded(_) => "overloaded",
        Self::Cancelled => "cancelled",
        Self::UnknownFunction => "unknown-function",
        Self::Internal => "internal",
    }

    /// The stable name for machines, in `kebab-case`: the same in HTTP responses, logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.named().variant_code()
    }

    /// The error itself, or the one that the `err` of a typed function names.
    #[must_use]
    pub fn named(&self) -> &Self {
        match self {
            Self::Client(error) => error.named.as_ref().unwrap_or(self),
            error => error,
        }
    }

    /// The `err` that a typed function returned, if callers may see it.
    #[must_use]
    pub fn err(&self) -> Option<&RenderedValue> {
        match self {
            Self::Client(error) => error.err.as_ref(),
            _ => None,
        }
    }

    /// The limit that was reached, if the error is about one.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        Some(match self {
            Self::Overloaded(Resource::Flights) => Limit::Flights,
            Self::Overloaded(Resource::FlightsOfKey) => Limit::FlightsOfKey,
            Self::Overloaded(Resource::Callers) => Limit::Callers,
            Self::Overloaded(Resource::Executions) => Limit::Executions,
            Self::Overloaded(Resource::AddressSpace) => Limit::AddressSpace,
            Self::Overloaded(Resource::Memory) => Limit::TotalMemory,
            Self::Overloaded(Resource::UnreadBytes) => Limit::UnreadBytes,
            Self::Overloaded(Resource::UnreadBytesOfConnection) => Limit::UnreadBytesOfConnection,
            Self::GuestDeadline(_) => Limit::Time,
            Self::ResultTooLarge(_) => Limit::Result,
            Self::UpstreamTimeout(_) => Limit::UpstreamTime,
            Self::UpstreamResponseTooLarge(_) => Limit::UpstreamResponse,
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
            Self::Client(error) => match (&error.named, &error.err) {
                (Some(named), _) => named.fmt(f),
                (None, Some(_)) => f.write_str("the client returned an error; err is what it is"),
                (None, None) => f.write_str("the client returned an error"),
            },
            Self::UpstreamDenied => f.write_str(
                "the client's policy denied a request; the log has the flag that allows it",
            ),
            Self::UpstreamResponseTooLarge(setting) => write!(
                f,
                "the upstream's response is larger than {setting}; request less, or raise {setting}"
            ),
            Self::UpstreamTimeout(Some(setting @ "max_connections")) => write!(
                f,
                "the flight waited too long for a connection, because {setting} are in use; request less at a time, or \
                 raise {setting}"
            ),
            Self::UpstreamTimeout(setting) => {
                f.write_str("the upstream took longer than ")?;
                match setting {
                    None => f.write_str("the guest waits; try again later"),
                    Some(setting) => {
                        let to_raise = to_raise(setting);
                        write!(f, "{setting}; try again later, or {to_raise}")
                    }
                }
            }
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
            Self::ResultTooLarge(setting @ "max_memory_bytes") => write!(
                f,
                "the call needs more memory than {setting}; request less, or raise {setting}"
            ),
            Self::ResultTooLarge(setting) => write!(
                f,
                "the guest's answer is larger than {setting}; request less, or raise {setting}"
            ),
            Self::GuestDeadline(setting) => {
                write!(
                    f,
                    "the guest took longer than {setting}; try again later, or raise {setting}"
                )
            }
            Self::Overloaded(resource) => {
                let remedy = resource.remedy();
                write!(f, "{resource}; try again later, or {remedy}")
            }
            Self::Cancelled => {
                f.write_str("the host is shutting down; try another host, or again later")
            }
            Self::UnknownFunction => f.write_str(
                "the client has no such function; oneflight check lists those of a component",
            ),
            Self::Internal => f.write_str("internal error of the host; the log has the reason"),
        }
    }
}

impl std::error::Error for ClientError {}

/// What to do for a higher limit than that of this setting.
pub(crate) fn to_raise(setting: &str) -> String {
    match setting {
        "first_byte_timeout" | "request_timeout" => {
            format!("raise {setting} or, if that is not set, flight_timeout, from which it derives")
        }
        _ => format!("raise {setting}"),
    }
}

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
    /// The address space of the process, of an execution that is allocated on demand.
    AddressSpace,
    /// The memory of all executions of the client.
    Memory,
    /// What the service holds for callers: their requests, and answers that they have not read yet.
    UnreadBytes,
    /// What the service holds for the caller's connection.
    UnreadBytesOfConnection,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flights => "the client has its maximum number of open flights",
            Self::FlightsOfKey => "the key has its maximum number of flights",
            Self::Callers => "the key has its maximum number of waiting callers",
            Self::Executions => "all executions were in use for longer than queue_timeout",
            Self::AddressSpace => "the process has no address space for another execution",
            Self::Memory => "the client's executions hold all of its memory",
            Self::UnreadBytes => "the service has no room for another answer that is not read yet",
            Self::UnreadBytesOfConnection => {
                "the connection has no room for another answer that is not read yet"
            }
        })
    }
}

impl Resource {
    /// What the operator can do for fewer refusals, with the setting that it is done with.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Flights => "raise max_flights",
            Self::FlightsOfKey => "raise max_executions_per_key",
            Self::Callers => "raise max_callers",
            Self::Executions => "raise max_executions",
            Self::UnreadBytes => "raise max_unread_bytes",
            Self::UnreadBytesOfConnection => {
                "read the answers, or raise max_unread_bytes_per_connection"
            }
            // More executions would need more of it.
            Self::AddressSpace => {
                "lower max_executions of the clients, or raise vm.max_map_count or the limit of addresses (ulimit -v)"
            }
            Self::Memory => "raise max_total_memory_bytes",
        }
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
    /// The address space of the process.
    AddressSpace,
    /// What the service holds for callers.
    UnreadBytes,
    /// What the service holds for one connection.
    UnreadBytesOfConnection,
    /// A guest's processor time, or the flight's deadline.
    Time,
    /// The bytes or items of a guest's answer.
    Result,
    /// A timeout of an upstream request.
    UpstreamTime,
    /// The bytes of an upstream's response.
    UpstreamResponse,
    /// A guest's memory: growing it failed in the guest, or the host held too much for it.
    Memory,
    /// The memory of all executions of the client: a flight was refused or ended.
    TotalMemory,
    /// A guest's output: the rest was dropped.
    Log,
}

impl Limit {
    names! {
        /// All names.
        NAMES,
        /// The stable name for machines, as in metrics.
        pub name,
        Self::Flights => "flights",
        Self::FlightsOfKey => "flights-of-key",
        Self::Callers => "callers",
        Self::Executions => "executions",
        Self::AddressSpace => "address-space",
        Self::UnreadBytes => "unread-bytes",
        Self::UnreadBytesOfConnection => "unread-bytes-of-connection",
        Self::Time => "time",
        Self::Result => "result",
        Self::UpstreamTime => "upstream-time",
        Self::UpstreamResponse => "upstream-response",
        Self::Memory => "memory",
        Self::TotalMemory => "total-memory",
        Self::Log => "log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Limits;
    use crate::model::setting::LimitTable;

    #[test]
    fn the_readme_explains_every_code() {
        let readme = include_str!("../../../README.md");
        let (_, table) = readme.split_once("<!-- codes -->\n").unwrap();
        let (table, _) = table.split_once("<!-- end -->").unwrap();
        for code in ClientError::CODES {
            assert!(table.contains(&format!("`{code}`")), "{code}");
        }
    }

    #[test]
    fn an_error_about_a_limit_names_a_setting() {
        let overloaded = [
            Resource::Flights,
            Resource::FlightsOfKey,
            Resource::Callers,
            Resource::Executions,
            Resource::Memory,
        ];
        for (resource, setting) in [
            (Resource::UnreadBytes, "max_unread_bytes"),
            (
                Resource::UnreadBytesOfConnection,
                "max_unread_bytes_per_connection",
            ),
        ] {
            let error = ClientError::Overloaded(resource);
            assert!(error.limit().is_some(), "{error:?}");
            assert!(
                error.to_string().ends_with(&format!("raise {setting}")),
                "{error}"
            );
        }
        let mut errors: Vec<_> = overloaded.map(ClientError::Overloaded).into();
        for setting in Limits::names() {
            errors.extend([
                ClientError::GuestDeadline(setting),
                ClientError::ResultTooLarge(setting),
                ClientError::UpstreamTimeout(Some(setting)),
                ClientError::UpstreamResponseTooLarge(setting),
            ]);
        }
        for error in errors {
            assert!(error.limit().is_some(), "{error:?}");
            let message = error.to_string();
            let (_, raise) = message.rsplit_once("raise ").unwrap();
            let setting = raise.split(' ').next().unwrap();
            assert!(Limits::names().contains(&setting), "{message}");
        }
    }

    // fault 88
    #[test]
    fn an_error_about_address_space_advises_fewer_executions() {
        let error = ClientError::Overloaded(Resource::AddressSpace);
        assert_eq!(error.limit(), Some(Limit::AddressSpace));
        assert_eq!(
            error.to_string(),
            "the process has no address space for another execution; try again later, or lower max_executions of the \
             clients, or raise vm.max_map_count or the limit of addresses (ulimit -v)"
        );
    }
}
