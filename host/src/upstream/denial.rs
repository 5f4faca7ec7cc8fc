//! [`Denial`]: why the host refused a request of the guest. Its message names hosts and addresses, and
//! the flag that would permit the request: it is for the log, and reaches nobody else.

use std::fmt;
use std::net::IpAddr;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// No entry of the allow-list names this origin.
    NotAllowed {
        /// `scheme://host:port`, as the guest asked for it.
        origin: String,
    },
    /// The name is on the allow-list, and resolves to an address that such a name may not reach.
    Address {
        /// The name.
        host: String,
        /// What it resolves to.
        address: IpAddr,
        /// What kind of address that is.
        kind: &'static str,
    },
    /// The request's URL is not of the form `http[s]://host[:port]/…`.
    BadUrl,
    /// The request asks for a tunnel (the method CONNECT), through which nobody would see what goes
    /// where.
    Tunnel,
    /// The request's body is longer or shorter than the request said.
    Framing,
    /// The flight has made as many requests as one may.
    TooManyRequests {
        /// How many that is: `Limits::requests`.
        limit: usize,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { origin } => write!(
                f,
                "the client asked for {origin}, which is not on its allow-list; \
                 if that is meant, add --allow {origin}"
            ),
            Self::Address {
                host,
                address,
                kind: kind @ "metadata",
            } => write!(
                f,
                "{host} resolves to {address}, a {kind} address, which no name may reach; \
                 if that is meant, name the address itself in the URL and in --allow"
            ),
            Self::Address {
                host,
                address,
                kind,
            } => write!(
                f,
                "{host} resolves to {address}, a {kind} address; \
                 if that is meant, add --allow-net {address}/{}",
                if address.is_ipv4() { 32 } else { 128 }
            ),
            Self::BadUrl => {
                f.write_str("the client asked for a URL that is not http[s]://host[:port]/…")
            }
            Self::Tunnel => f.write_str("the client asked for a tunnel, which no client may have"),
            Self::Framing => f.write_str(
                "the client sent a body of another length than it said, or did not end it",
            ),
            Self::TooManyRequests { limit } => write!(
                f,
                "the client made more than the {limit} requests that one flight may make; \
                 if that is meant, raise the limit of requests"
            ),
        }
    }
}
