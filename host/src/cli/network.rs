//! Addresses on the command line, and the sockets that listen on them.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::FutureExt;
use oneflight::config::{A_LISTEN_ADDRESS, AN_ADDRESS, ListenAddress};
use oneflight::server::ServiceSocket;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket, UnixStream};

/// Connections that the kernel queues until they are accepted: 4,096, the most that Linux grants by default. Callers
/// may connect all together, and a caller that finds the queue full tries again only after a second.
const BACKLOG: u32 = 4_096;

/// The permissions of a Unix socket: the service's user and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Parses an IP address with a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected {AN_ADDRESS}"))
}

/// Parses an IP address with a port, or the path of a Unix socket.
pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    text.parse()
        .map_err(|()| format!("expected {A_LISTEN_ADDRESS}"))
}

/// Listens on `address`; warns if other machines can reach it. `flag` is the flag that sets the address. Returns the
/// address with the port that the system chose.
pub(super) fn listen_at(
    address: &ListenAddress,
    flag: &str,
) -> anyhow::Result<(ServiceSocket, ListenAddress, Option<SocketFile>)> {
    match address {
        ListenAddress::Ip(address) => {
            let listener = listen(*address, flag)?;
            let address = listener.local_addr()?.into();
            Ok((listener.into(), address, None))
        }
        ListenAddress::Unix(path) => {
            let (listener, file) = bind_unix(path).with_context(|| {
                format!("could not listen on {address}; choose another path with {flag}")
            })?;
            Ok((listener.into(), address.clone(), Some(file)))
        }
    }
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

/// Listens on a Unix socket. A socket at the same path on which no process listens, left by one that was killed, is
/// replaced.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before it listens, so that no other user can connect in between.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: fs::symlink_metadata(path)?.ino(),
    };
    Ok((socket.listen(BACKLOG)?, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let message = "expected a socket or nothing at this path, got another file; remove it";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    // One poll: the attempt does not wait, and a process whose backlog is full listens, too.
    match UnixStream::connect(path).now_or_never() {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "expected no process that listens at this path, got one",
        )),
    }
}

/// The file of a Unix socket, which is removed when this value is dropped, unless another process has replaced it.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
