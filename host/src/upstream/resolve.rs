//! [`Resolve`]: from a name to addresses, by the system or by whatever an embedder or a test brings.
//!
//! It is asked once for a connection and believed in nothing: what it answers is checked, and what was
//! checked is dialled.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Names that the system's resolver looks up at once for one client: 16. Each lookup holds a thread that nothing
/// can stop, and a process has 512 threads for everything that blocks.
const LOOKUPS: usize = 16;

/// Looks up names for the connections of a client.
pub trait Resolve: Debug + Send + Sync {
    /// The addresses that `name` stands for now.
    ///
    /// Called once for each connection that is made to a name on the allow-list, many at a time, and
    /// never for an address. The future is dropped when the time to connect is over, or its flight.
    ///
    /// # Errors
    ///
    /// When there is no such name, or nobody to ask.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// What the system says (`getaddrinfo`): its hosts file and its name servers.
///
/// The system's call blocks a thread and cannot be stopped. One that hangs holds up nobody who waits
/// for it longer than they have time, and no more than 16 threads of the process.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Self { lookups }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let (lookups, name) = (Arc::clone(&self.lookups), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = move || {
                // Given back when the thread is free, which may be long after nobody waits any more.
                let _permit = permit;
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            };
            spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_addresses_and_gives_every_permit_back() {
        let system = SystemResolver::default();
        let found = system.resolve("127.0.0.1").await.unwrap();
        assert_eq!(found, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(system.resolve("no such name").await.is_err());
        assert_eq!(system.lookups.available_permits(), LOOKUPS);
    }

    #[tokio::test]
    async fn names_wait_while_every_thread_is_taken() {
        let system = SystemResolver::default();
        let taken = system.lookups.try_acquire_many(LOOKUPS as u32).unwrap();
        let mut waiting = system.resolve("127.0.0.1");
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(taken);
        assert!(waiting.await.is_ok());
    }
}
