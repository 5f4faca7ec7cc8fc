//! [`Resolve`]: from a name to addresses, by the system, or by a resolver of an embedder or a test.
//!
//! It is called once for each connection and not trusted: its answer is checked, and exactly the checked addresses are
//! dialled.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};

/// The maximum number of concurrent lookups of the system's resolver for one client: 16. Each holds a thread that
/// cannot be interrupted.
pub const MAX_LOOKUPS: usize = 16;

/// The stack of the thread of a lookup: 512 KiB, several times what the resolver of glibc uses.
const LOOKUP_STACK: usize = 512 << 10;

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
/// The system's call blocks a thread and cannot be interrupted. A request that waits for a lookup still times out.
/// Each lookup has a thread of its own, and a client has at most 16 of them: lookups of one client that hang delay
/// neither those of another nor anything else that blocks, and an address is not looked up at all.
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
            let (reply, resolved) = oneshot::channel();
            let lookup = move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                let found = found.map(|found| found.map(|address| address.ip()).collect());
                // Returned when the thread is free, which may be long after the future was dropped; and before the reply,
                // so that what is counted then is right.
                drop(permit);
                // The receiver is gone if the request has timed out.
                let _ = reply.send(found);
            };
            let thread = thread::Builder::new().name("lookup".to_owned());
            thread.stack_size(LOOKUP_STACK).spawn(lookup)?;
            resolved.await.map_err(io::Error::other)?
        })
    }
}

#[cfg(test)]
mod tests {
    use tower_service::Service;

    use super::*;
    use crate::model::Limits;
    use crate::upstream::UpstreamPolicy;
    use crate::upstream::connect::Connector;

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

    // fault 66
    // The pool that tokio has for whatever blocks may be in use, for example by a component that is loaded.
    #[test]
    fn a_lookup_needs_no_thread_of_the_runtimes_pool() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let blocking = tokio::task::spawn_blocking(move || released.recv());
            let found = SystemResolver::default().resolve("127.0.0.1").await;
            assert!(found.is_ok());
            drop(release);
            assert!(blocking.await.unwrap().is_err());
        });
    }

    // fault 66
    #[tokio::test]
    async fn an_address_is_reached_while_all_lookups_of_the_client_hang() {
        let system = SystemResolver::default();
        let _hanging = system.lookups.try_acquire_many(MAX_LOOKUPS as u32).unwrap();
        let policy = UpstreamPolicy {
            resolver: Arc::new(system.clone()),
            ..UpstreamPolicy::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let mut connector = Connector::new(Arc::new(policy), &Limits::default());
        assert!(connector.call(origin.parse().unwrap()).await.is_ok());
        // Another client has lookups of its own.
        let other = UpstreamPolicy::default().resolver.resolve("127.0.0.1");
        assert!(other.await.is_ok());
    }
}
