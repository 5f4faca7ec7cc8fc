//! [`Listener`]: accepts TCP connections, up to a limit, and passes each on with its permit. It does not know which
//! protocol is served on them.
//!
//! A connection past the limit waits in the kernel's backlog. Refusing it would need what has run out: a descriptor,
//! a task, a TLS handshake, and reading what the caller sends until it has read the refusal. A permit becomes free
//! soon: a connection without a request is closed within about three times
//! [`ServerLimits::header_timeout`](crate::ServerLimits::header_timeout). Exceptions are an open dashboard, a running
//! observation and pings of HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// The pause after `accept` has failed. The reason is most likely a lack of descriptors, and an immediate retry
/// would spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A TCP listener with a limit on its open connections.
pub(super) struct Listener {
    tcp: TcpListener,
    /// Its name in the log.
    name: &'static str,
    /// One permit for each connection that may still be accepted.
    permits: Arc<Semaphore>,
    /// Whether the listener had to wait for the last permit.
    is_full: bool,
}

impl Listener {
    pub(super) fn new(tcp: TcpListener, name: &'static str, max_connections: usize) -> Self {
        let permits = max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            tcp,
            name,
            permits: Arc::new(Semaphore::new(permits)),
            is_full: false,
        }
    }

    /// Accepts connections and calls `serve` with each. A connection counts as open until its permit is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener. Connections that were passed on stay open.
    pub(super) async fn run(
        mut self,
        mut serve: impl FnMut(TcpStream, OwnedSemaphorePermit),
    ) -> Infallible {
        loop {
            let permit = self.permit().await;
            match self.tcp.accept().await {
                Ok((stream, _)) => serve(stream, permit),
                Err(error) => {
                    tracing::warn!(%error, listener = self.name, "could not accept a connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Waits for a permit, and logs once for each time that the limit is reached.
    async fn permit(&mut self) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            self.is_full = false;
            return permit;
        }
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!(
                listener = self.name,
                "the limit of open connections is reached; further connections wait"
            );
        }
        permits.acquire_owned().await.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_connection_past_the_limit_is_accepted_when_a_permit_is_dropped() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let listener = Listener::new(tcp, "test", 1);
        let running = tokio::spawn(listener.run(move |stream, permit| {
            sender.send((stream, permit)).unwrap();
        }));
        let one = TcpStream::connect(address).await.unwrap();
        let (first, permit) = accepted.recv().await.unwrap();
        assert_eq!(first.peer_addr().unwrap(), one.local_addr().unwrap());
        let other = TcpStream::connect(address).await.unwrap();
        assert!(poll!(Box::pin(accepted.recv())).is_pending());
        drop(permit);
        let (second, _permit) = accepted.recv().await.unwrap();
        assert_eq!(second.peer_addr().unwrap(), other.local_addr().unwrap());
        running.abort();
    }
}
