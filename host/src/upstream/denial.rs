//! [`Denial`]: why the host refused a request of the guest. Its message names hosts and addresses, and the flag that
//! would permit the request. It is for the log only: neither the guest nor a caller gets it.

use std::fmt;
use std::net::IpAddr;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// No allow rule covers the request's target.
    NotAllowed {
        /// `scheme://host[:port]`, as an allow rule would name it.
        origin: String,
    },
    /// An allow rule covers the name, and it resolves to an address that the policy does not admit.
    Address {
        /// The name.
        host: String,
        /// An address of it.
        address: IpAddr,
        /// The kind of that address.
        kind: &'static str,
    },
    /// The request's URL is not of the form `http[s]://host[:port]/…`.
    BadUrl,
    /// The request's method is CONNECT. The policy cannot check what goes through a tunnel.
    Tunnel,
    /// The request's body is longer or shorter than its `Content-Length`, or was not finished.
    Framing,
    /// The request's body is too long.
    BodyTooLarge {
        /// `Limits::max_request_body_bytes`.
        limit: usize,
    },
    /// The flight has sent as many requests as it may.
    TooManyRequests {
        /// `Limits::max_requests`.
        limit: usize,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { origin } => write!(
                f,
                "expected a target that an allow rule covers, got {origin}; \
                 to permit it, add --allow {origin}"
            ),
            Self::Address {
                host,
                address,
                kind: kind @ "metadata",
            } => write!(
                f,
                "expected {host} to resolve to a public address, got {address}, a {kind} address, which no name \
                 may reach; to permit it, use the address itself in the URL and in --allow"
            ),
            Self::Address {
                host,
                address,
                kind,
            } => write!(
                f,
                "expected {host} to resolve to a public address, got {address}, a {kind} address; \
                 to permit it, add --allow-net {address}/{}",
                if address.is_ipv4() { 32 } else { 128 }
            ),
            Self::BadUrl => {
                f.write_str("expected a URL http[s]://host[:port]/path without a user, got another form")
            }
            Self::Tunnel => {
                f.write_str("expected a method other than CONNECT, as clients may not open tunnels")
            }
            Self::Framing => f.write_str(
                "expected a finished body of the length in Content-Length, got another length or no end",
            ),
            Self::BodyTooLarge { limit } => write!(
                f,
                "expected a request body of at most {limit} bytes, got more; \
                 to permit it, raise max_request_body_bytes"
            ),
            Self::TooManyRequests { limit } => write!(
                f,
                "expected at most {limit} requests in one flight, got more; \
                 to permit them, raise max_requests"
            ),
        }
    }
}
