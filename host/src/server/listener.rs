//! [`Listener`]: accepts connections, up to a limit, and passes each on. It does not know which protocol is served on
//! them.
//!
//! A connection past the limit takes the place of an idle one. If none is idle, it waits, and all after it wait in the
//! kernel's backlog. Refusing it would need what has run out: a descriptor, a task, a TLS handshake, and reading what
//! the caller sends until it has read the refusal.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::open_connections::{OpenConnection, OpenConnections};
use super::socket::{ServiceSocket, SocketStream};

/// The pause after `accept` has failed. The reason is most likely a lack of descriptors, and an immediate retry
/// would spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The time between two log lines about the same.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A listener with a limit on its open connections.
pub(super) struct Listener {
    socket: ServiceSocket,
    name: ListenerName,
    connections: Arc<OpenConnections>,
    /// Attempts to accept a connection that have failed. They repeat many times a second until a descriptor is free.
    failures: Repeats,
    /// Connections past the limit. While callers come and go at the limit, these are many a second, too.
    past_limit: Repeats,
}

/// What may happen many times a second, and is logged once a minute at most.
#[derive(Debug, Default)]
struct Repeats {
    /// Those that are not in the log yet.
    count: u64,
    logged: Option<Instant>,
}

impl Repeats {
    /// Counts one more. If they are to be logged now, returns how many there were since they were last logged.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_due = self
            .logged
            .is_none_or(|logged| now.duration_since(logged) >= LOG_INTERVAL);
        is_due.then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.count)
        })
    }
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
            failures: Repeats::default(),
            past_limit: Repeats::default(),
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
                    self.log_failure(&error);
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    fn log_failure(&mut self, error: &io::Error) {
        if let Some(attempts) = self.failures.add(Instant::now()) {
            let ListenerName { name, limit, .. } = self.name;
            tracing::warn!(
                %error, listener = name, attempts,
                "could not accept connections; if too many files are open, raise their limit (LimitNOFILE, ulimit -Hn) or \
                 lower {limit}"
            );
        }
    }

    /// Makes room for a connection, and logs that the limit is reached.
    async fn open(&mut self) -> OpenConnection {
        if let Some(open) = self.connections.try_open() {
            return open;
        }
        if let Some(connections) = self.past_limit.add(Instant::now()) {
            let ListenerName { name, limit, .. } = self.name;
            tracing::warn!(
                listener = name,
                connections,
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
    use http::Version;
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
        stream.peer().unwrap()
    }

    #[test]
    fn repeats_are_logged_at_once_and_then_each_minute() {
        let (mut failures, now) = (Repeats::default(), Instant::now());
        assert_eq!(failures.add(now), Some(1));
        assert_eq!(failures.add(now), None);
        assert_eq!(failures.add(now + LOG_INTERVAL / 2), None);
        assert_eq!(failures.add(now + LOG_INTERVAL), Some(3));
        assert_eq!(failures.add(now + LOG_INTERVAL), None);
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
        let request = ConnectionActivity::begin(&open.activity, Version::HTTP_11);
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
