//! [`ListenAddress`]: where a service listens, TCP or a Unix socket.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The form of an address, for messages.
pub const A_LISTEN_ADDRESS: &str = "an IP address and a port, as in 127.0.0.1:8080, or unix: and an absolute path, as in unix:/run/oneflight.sock";

/// The longest path of a socket, in bytes: what Linux and macOS have room for.
const MAX_PATH_BYTES: usize = 103;

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') && path.len() <= MAX_PATH_BYTES => {
                Ok(Self::Unix(path.into()))
            }
            Some(_) => Err(()),
            None => text.parse().map(Self::Ip).map_err(|_| ()),
        }
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_with_a_port_or_an_absolute_path() {
        for text in ["127.0.0.1:8080", "[::]:0", "unix:/run/oneflight.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(MAX_PATH_BYTES));
        for text in [
            "",
            "8080",
            "localhost:1",
            "unix:",
            "unix:a",
            "/run/a",
            &long,
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(()), "{text}");
        }
    }
}
