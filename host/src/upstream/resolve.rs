//! [`Resolve`]: from a name to addresses, by the system, or by a resolver of an embedder or a test.
//!
//! It is called once for each connection and not trusted: its answer is checked, and exactly the checked addresses are
//! dialled.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The maximum number of concurrent lookups of the system's resolver for one client: 16. Each holds a thread that
/// cannot be interrupted, and a process has 512 threads for everything that blocks.
const MAX_LOOKUPS: usize = 16;

/// Looks up names for the connections of a client.
pub trait Resolve: Debug + Send + Sync {
    /// The addresses of `name` now.
    ///
    /// Called once for each connection that is opened to an allowed name, concurrently, and never for an address. The
    /// future is dropped when connecting times out or the flight ends.
    ///
    /// # Errors
    ///
    /// When the name does not exist, or the lookup fails.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver (`getaddrinfo`): its hosts file and its name servers.
///
/// The system's call blocks a thread and cannot be interrupted. A request that waits for a lookup still times out, and
/// lookups that hang hold at most 16 threads of the process for each client.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        let lookups = Arc::new(Semaphore::new(MAX_LOOKUPS));
        Self { lookups }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let (lookups, name) = (Arc::clone(&self.lookups), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = move || {
                // Returned when the thread is free, which may be long after the future was dropped.
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
    async fn the_system_resolves_addresses_and_returns_every_permit() {
        let system = SystemResolver::default();
        let found = system.resolve("127.0.0.1").await.unwrap();
        assert_eq!(found, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(system.resolve("no such name").await.is_err());
        assert_eq!(system.lookups.available_permits(), MAX_LOOKUPS);
    }

    #[tokio::test]
    async fn a_lookup_waits_while_all_permits_are_in_use() {
        let system = SystemResolver::default();
        let taken = system.lookups.try_acquire_many(MAX_LOOKUPS as u32).unwrap();
        let mut waiting = system.resolve("127.0.0.1");
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(taken);
        assert!(waiting.await.is_ok());
    }
}
