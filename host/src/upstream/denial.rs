//! [`Denial`]: why the host refused a request of the guest. Its message names hosts and addresses, and the flag that
//! would permit the request. It is for the log only: neither the guest nor a caller gets it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use super::address::Kind;

/// The maximum number of addresses of a name in a message.
const MAX_ADDRESSES: usize = 8;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// No allow rule covers the request's target.
    NotAllowed {
        /// `scheme://host[:port]`, as an allow rule would name it.
        origin: String,
    },
    /// An allow rule covers the name, and it resolves to addresses none of which the policy admits.
    Addresses {
        /// The name.
        host: String,
        /// Its addresses.
        refused: Vec<(IpAddr, Kind)>,
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
            Self::Addresses { host, refused } => {
                write!(f, "expected {host} to resolve to a public address, got ")?;
                addresses(f, refused)
            }
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

/// The `refused` addresses, and what would permit them.
fn addresses(f: &mut fmt::Formatter<'_>, refused: &[(IpAddr, Kind)]) -> fmt::Result {
    let mut distinct = refused.to_vec();
    let mut seen = HashSet::new();
    distinct.retain(|(address, _)| seen.insert(*address));
    let shown = &distinct[..distinct.len().min(MAX_ADDRESSES)];
    let named = |(address, kind): &(IpAddr, Kind)| format!("{address} ({})", kind.name());
    f.write_str(&shown.iter().map(named).collect::<Vec<_>>().join(", "))?;
    if shown.len() < distinct.len() {
        write!(f, " and {} more", distinct.len() - shown.len())?;
    }
    let (metadata, others): (Vec<_>, Vec<_>) =
        shown.iter().partition(|(_, kind)| *kind == Kind::Metadata);
    if !others.is_empty() {
        let flag = |(address, _): &(IpAddr, Kind)| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            format!("--allow-net {address}/{bits}")
        };
        let flags = others.iter().map(flag).collect::<Vec<_>>().join(" ");
        let them = if others.len() == 1 { "it" } else { "them" };
        write!(f, "; to permit {them}, add {flags}")?;
    }
    if !metadata.is_empty() {
        f.write_str(
            "; no name may reach a metadata address: to permit it, use the address itself in the URL and in --allow",
        )?;
    }
    Ok(())
}
