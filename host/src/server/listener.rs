//! [`Listener`]: accepts connections, up to a limit, and passes each on. It does not know which protocol is served on
//! them.
//!
//! A connection past the limit takes the place of an idle one. If none is idle, it waits, and all after it wait in the
//! kernel's backlog. Refusing it would need what has run out: a descriptor, a task, a TLS handshake, and reading what
//! the caller sends until it has read the refusal.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::open_connections::{OpenConnection, OpenConnections};
use super::socket::{ServiceSocket, SocketStream};

/// The pause after `accept` has failed. The reason is most likely a lack of descriptors, and an immediate retry
/// would spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A listener with a limit on its open connections.
pub(super) struct Listener {
    socket: ServiceSocket,
    name: ListenerName,
    connections: Arc<OpenConnections>,
    /// Whether a connection had to wait for the end of another.
    is_full: bool,
}

/// What a listener is called in the log, and what is particular to it.
#[derive(Clone, Copy)]
pub(super) struct ListenerName {
    pub(super) name: &'static str,
    /// The setting that limits its connections.
    pub(super) limit: &'static str,
    /// Connections for probes beyond the limit.
    pub(super) reserve: usize,
}

impl Listener {
    pub(super) fn new(
        socket: impl Into<ServiceSocket>,
        name: ListenerName,
        max_connections: usize,
    ) -> Self {
        Self {
            socket: socket.into(),
            name,
            connections: OpenConnections::new(max_connections, name.reserve),
            is_full: false,
        }
    }

    /// Accepts connections and calls `serve` with each.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener. Connections that were passed on stay open.
    pub(super) async fn run(
        mut self,
        mut serve: impl FnMut(SocketStream, OpenConnection),
    ) -> Infallible {
        loop {
            match self.socket.accept().await {
                Ok(stream) => serve(stream, self.open().await),
                Err(error) => {
                    tracing::warn!(%error, listener = self.name.name, "could not accept a connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Makes room for a connection, and logs once for each time that the limit is reached.
    async fn open(&mut self) -> OpenConnection {
        if let Some(open) = self.connections.try_open() {
            self.is_full = false;
            return open;
        }
        if !std::mem::replace(&mut self.is_full, true) {
            let ListenerName { name, limit, .. } = self.name;
            tracing::warn!(
                listener = name,
                "the limit of open connections is reached: idle ones are closed, and further ones wait; raise {limit} \
                 to have more"
            );
        }
        self.connections.open().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::super::activity::ConnectionActivity;
    use super::*;

    const NAME: ListenerName = ListenerName {
        name: "test",
        limit: "max_connections",
        reserve: 0,
    };

    fn peer(stream: &SocketStream) -> std::net::SocketAddr {
        match stream {
            SocketStream::Tcp(stream) => stream.peer_addr().unwrap(),
            SocketStream::Unix(_) => panic!("a Unix socket"),
        }
    }

    #[tokio::test]
    async fn a_connection_past_the_limit_is_passed_on_when_another_is_closed() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let listener = Listener::new(tcp, NAME, 1);
        let running = tokio::spawn(listener.run(move |stream, open| {
            sender.send((stream, open)).unwrap();
        }));
        let one = TcpStream::connect(address).await.unwrap();
        let (first, open) = accepted.recv().await.unwrap();
        assert_eq!(peer(&first), one.local_addr().unwrap());
        let request = ConnectionActivity::begin(&open.activity, false);
        let other = TcpStream::connect(address).await.unwrap();
        assert!(poll!(Box::pin(accepted.recv())).is_pending());
        drop(request);
        assert!(open.activity.changed().await);
        drop(open);
        let (second, _open) = accepted.recv().await.unwrap();
        assert_eq!(peer(&second), other.local_addr().unwrap());
        running.abort();
    }
}
