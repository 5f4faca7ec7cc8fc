//! [`ClientRegistry`]: the clients of a service by their names, replaced one by one or all together while it runs.
//!
//! A lookup returns a shared pointer, so a flight ends on the load of the component that it began on; later lookups
//! return the new load. The registry compiles and loads nothing itself.

mod explanation;
mod loaded_client;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, Weak};

use futures_util::future::{FutureExt, join_all};
use tokio::sync::watch;

pub use self::loaded_client::LoadedClient;

use crate::client::Execute;

/// The result of [`ClientRegistry::find`].
#[derive(Debug)]
pub enum ClientLookup<C> {
    /// The client is ready for callers.
    Loaded(Arc<LoadedClient<C>>),
    /// The client is being loaded for the first time.
    Loading,
    /// There is no client of that name.
    Unknown,
}

/// Clients by name; `None` while one is being loaded for the first time.
type ByName<C> = BTreeMap<String, Option<Arc<LoadedClient<C>>>>;

/// The shutdown has started, so that no client is added or replaced any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuttingDown;

impl fmt::Display for ShuttingDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shutdown has started, so that no client is added or replaced any more")
    }
}

impl std::error::Error for ShuttingDown {}

/// The clients of a service.
#[derive(Debug)]
pub struct ClientRegistry<C> {
    current: RwLock<ByName<C>>,
    /// Clients that were replaced, each kept alive by its callers alone.
    retired: Mutex<Vec<Weak<LoadedClient<C>>>>,
    /// Set to true once, when the shutdown starts.
    ///
    /// Invariant: it is set within a write lock of `current`, so that no client is added afterwards. A client that
    /// is added between the start of the shutdown and [`ClientRegistry::drain`] could open flights that the drain
    /// does not know.
    is_shutting_down: watch::Sender<bool>,
}

impl<C: Execute> ClientRegistry<C> {
    /// A registry with these names, whose clients are added later by [`put`](ClientRegistry::put).
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(|name| (name.to_owned(), None));
        Self {
            current: RwLock::new(names.collect()),
            retired: Mutex::default(),
            is_shutting_down: watch::Sender::new(false),
        }
    }

    /// A registry of these clients, each under the name in its settings.
    pub fn of(loaded: impl IntoIterator<Item = LoadedClient<C>>) -> Self {
        let clients = Self::named([]);
        *clients.write() = by_name(loaded);
        clients
    }

    /// The current client of this name.
    pub fn find(&self, name: &str) -> ClientLookup<C> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        match current.get(name) {
            Some(Some(client)) => ClientLookup::Loaded(Arc::clone(client)),
            Some(None) => ClientLookup::Loading,
            None => ClientLookup::Unknown,
        }
    }

    /// All current clients that are loaded, in the order of their names.
    pub fn all(&self) -> Vec<Arc<LoadedClient<C>>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.values().flatten().cloned().collect()
    }

    /// All clients that may have open flights: the current ones, then those that were replaced and still have
    /// callers.
    pub fn all_and_retired(&self) -> Vec<Arc<LoadedClient<C>>> {
        let mut clients = self.all();
        clients.extend(self.retired().iter().filter_map(Weak::upgrade));
        clients
    }

    /// Adds `client` under its name, and retires the one that had the name.
    ///
    /// # Errors
    ///
    /// When the shutdown has started; then nothing changes.
    pub fn put(&self, client: LoadedClient<C>) -> Result<(), ShuttingDown> {
        let mut current = self.write_unless_shutting_down()?;
        let replaced = current.insert(client.settings().name.clone(), Some(Arc::new(client)));
        drop(current);
        self.retire(replaced.flatten());
        Ok(())
    }

    /// Replaces all clients by `loaded` in one step, except those that are named in `kept`: they stay as they are.
    ///
    /// # Errors
    ///
    /// When the shutdown has started; then nothing changes.
    pub fn replace<'a>(
        &self,
        loaded: impl IntoIterator<Item = LoadedClient<C>>,
        kept: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ShuttingDown> {
        let mut next = by_name(loaded);
        let mut current = self.write_unless_shutting_down()?;
        next.extend(
            kept.into_iter()
                .filter_map(|name| current.remove_entry(name)),
        );
        let replaced = std::mem::replace(&mut *current, next);
        drop(current);
        self.retire(replaced.into_values().flatten());
        Ok(())
    }

    /// Whether every client is loaded, and the shutdown has not started.
    pub fn is_ready(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        !*self.is_shutting_down.borrow() && current.values().all(Option::is_some)
    }

    /// Starts the shutdown: the registry is no longer [ready](ClientRegistry::is_ready), and its clients are no
    /// longer replaced. They still accept calls, until [`ClientRegistry::drain`].
    pub fn begin_shutdown(&self) {
        let _current = self.write();
        self.is_shutting_down.send_replace(true);
    }

    /// Ready when the shutdown has started, so that streams and observations end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn shutdown_started(&self) {
        let mut is_shutting_down = self.is_shutting_down.subscribe();
        // The sender lives as long as `self`.
        let _ = is_shutting_down.wait_for(|started| *started).await;
    }

    /// Stops opening flights, including those of retired clients, and waits until all open flights have landed. When
    /// `deadline` is ready, cancels the remaining ones. Returns the number of cancelled flights.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the tables closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        let clients = self.all_and_retired();
        let deadline = deadline.shared();
        let drained = clients
            .iter()
            .map(|client| client.control().drain(deadline.clone()));
        join_all(drained).await.into_iter().sum()
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByName<C>> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_unless_shutting_down(&self) -> Result<RwLockWriteGuard<'_, ByName<C>>, ShuttingDown> {
        let current = self.write();
        if *self.is_shutting_down.borrow() {
            return Err(ShuttingDown);
        }
        Ok(current)
    }

    fn retire(&self, replaced: impl IntoIterator<Item = Arc<LoadedClient<C>>>) {
        let replaced = replaced.into_iter().map(|client| Arc::downgrade(&client));
        let mut retired = self.retired();
        retired.extend(replaced);
        retired.retain(|client| client.strong_count() > 0);
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Weak<LoadedClient<C>>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_name<C: Execute>(loaded: impl IntoIterator<Item = LoadedClient<C>>) -> ByName<C> {
    let named = |client: LoadedClient<C>| (client.settings().name.clone(), Some(Arc::new(client)));
    loaded.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::poll;

    use super::*;
    use crate::client::Client;
    use crate::flight_context::FlightContext;
    use crate::model::{Call, ClientError, Generation, Items, Outcome};
    use crate::observability::metrics::ClientMetrics;
    use crate::settings::Settings;

    /// Completes for the key `now`, and for no other.
    #[derive(Debug)]
    struct Half(Generation);

    impl Execute for Half {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn execute(&self, call: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
            if call.x() != Some("now") {
                pending::<()>().await;
            }
            Ok(Items::new(vec![]).unwrap().into())
        }
    }

    fn loaded(name: &str) -> LoadedClient<Half> {
        LoadedClient::new(
            Half(Generation::next()),
            Settings::new(name),
            ClientMetrics::default(),
        )
    }

    fn found(clients: &ClientRegistry<Half>, name: &str) -> Arc<LoadedClient<Half>> {
        match clients.find(name) {
            ClientLookup::Loaded(client) => client,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_client_that_is_being_loaded_is_found_as_such_and_keeps_the_registry_unready() {
        let clients = ClientRegistry::named(["a", "b"]);
        clients.put(loaded("a")).unwrap();
        assert!(matches!(clients.find("b"), ClientLookup::Loading));
        assert!(matches!(clients.find("c"), ClientLookup::Unknown));
        assert!(!clients.is_ready());
        clients.put(loaded("b")).unwrap();
        assert!(clients.is_ready());
        let mut started = Box::pin(clients.shutdown_started());
        assert!(poll!(&mut started).is_pending());
        clients.begin_shutdown();
        assert!(!clients.is_ready());
        assert_eq!(clients.put(loaded("c")), Err(ShuttingDown));
        assert_eq!(clients.replace([], []), Err(ShuttingDown));
        assert!(matches!(clients.find("a"), ClientLookup::Loaded(_)));
        assert!(matches!(clients.find("c"), ClientLookup::Unknown));
        assert!(poll!(started).is_ready());
    }

    #[tokio::test]
    async fn a_flight_ends_on_the_load_that_it_began_on_and_lookups_find_the_new_one() {
        let clients = ClientRegistry::of([loaded("a"), loaded("b")]);
        let old = found(&clients, "a");
        let mut call = Box::pin(old.client().call("later".into()));
        assert!(poll!(&mut call).is_pending());
        clients.replace([loaded("a")], []).unwrap();
        let new = found(&clients, "a");
        assert_ne!(new.client().generation(), old.client().generation());
        assert!(matches!(clients.find("b"), ClientLookup::Unknown));
        assert!(new.client().call("now".into()).await.result.is_ok());
        assert_eq!(old.control().flights(), 1);
    }

    #[tokio::test]
    async fn a_client_that_is_kept_is_the_same_load() {
        let clients = ClientRegistry::of([loaded("a"), loaded("b"), loaded("c")]);
        let before = ["a", "b"].map(|name| found(&clients, name));
        clients.replace([loaded("b")], ["a"]).unwrap();
        let after = ["a", "b"].map(|name| found(&clients, name));
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert!(!Arc::ptr_eq(&before[1], &after[1]));
        assert!(matches!(clients.find("c"), ClientLookup::Unknown));
    }

    #[tokio::test]
    async fn replaced_clients_are_drained_too_and_live_no_longer_than_their_callers() {
        let clients = ClientRegistry::of([loaded("a")]);
        let old = found(&clients, "a");
        let mut call = Box::pin(async move { old.client().call("later".into()).await });
        assert!(poll!(&mut call).is_pending());
        clients.put(loaded("a")).unwrap();
        clients.put(loaded("a")).unwrap();
        assert_eq!(clients.retired().len(), 1);
        assert_eq!(clients.drain(ready(())).await, 1);
        let error = call.await.result.unwrap_err();
        assert_eq!(error, ClientError::Cancelled);
        clients.put(loaded("a")).unwrap();
        assert_eq!(clients.retired().len(), 0);
    }
}
