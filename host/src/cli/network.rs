//! Addresses on the command line, and the sockets that listen on them.

use std::io;
use std::net::SocketAddr;

use anyhow::Context;
use oneflight::config::AN_ADDRESS;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel queues until they are accepted: 4,096, the most that Linux grants by default. Callers
/// may connect all together, and a caller that finds the queue full tries again only after a second.
const BACKLOG: u32 = 4_096;

/// Parses an IP address with a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected {AN_ADDRESS}"))
}

/// Listens on `address`; warns if other machines can reach it. `flag` is the flag that sets the address.
pub(super) fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = bind(address).with_context(|| {
        format!("could not listen on {address}; choose another address with {flag}")
    })?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "listening beyond loopback: oneflight does not authenticate callers, \
             and every caller uses its clients' credentials"
        );
    }
    Ok(listener)
}

/// Like [`TcpListener::bind`], whose backlog is 128.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
