//! [`Clients`]: the clients of a service by their names, replaced one by one or all at once while it
//! runs.
//!
//! Who has found a client keeps it, so a flight ends on the load of the component that it began on;
//! whoever asks later finds the new one. It compiles and loads nothing itself.

mod explanation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use futures_util::future::{FutureExt, join_all};
use tokio::sync::watch;

pub use self::explanation::{Bounds, Explained, Explanation, Next};

use crate::client::{Client, Key};
use crate::config::{Settings, Sharing};
use crate::{Decorated, decorate};

/// A client as a service has it: decorated, with what its callers are held to.
#[derive(Debug)]
pub struct Served<C> {
    client: Decorated<C>,
    settings: Settings,
}

impl<C: Client> Served<C> {
    /// Decorates `client` as `settings` say.
    pub fn new(client: C, settings: Settings) -> Self {
        Self::of(decorate(client, &settings), settings)
    }

    /// A client that is decorated already, as `settings` say.
    pub fn of(client: Decorated<C>, settings: Settings) -> Self {
        Self { client, settings }
    }

    /// What callers ask.
    pub fn client(&self) -> &Decorated<C> {
        &self.client
    }

    /// What it was decorated with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What would happen to a caller who asked for `key` now, and why.
    pub fn explain(&self, key: &Key) -> Explanation {
        Explanation::of(self, key)
    }

    /// Closes the flight of `key` to those who ask from now on. True if there was one.
    pub fn forget(&self, key: &Key) -> bool {
        self.client.next().forget(key)
    }

    /// Whether a caller may have a flight that nobody opened before it asked.
    pub fn grants_anew(&self) -> bool {
        matches!(self.settings.sharing, Sharing::Coalesced { anew: true, .. })
    }
}

/// A client by its name, at one moment.
#[derive(Debug)]
pub enum Found<C> {
    /// It answers.
    Served(Arc<Served<C>>),
    /// It is still being loaded.
    Loading,
    /// There is none of that name.
    Unknown,
}

/// The clients of a service.
#[derive(Debug)]
pub struct Clients<C> {
    /// By name; `None` while it is being loaded for the first time.
    current: RwLock<BTreeMap<String, Option<Arc<Served<C>>>>>,
    /// Those that were replaced and still have callers, who keep them alive.
    retired: Mutex<Vec<Weak<Served<C>>>>,
    /// Set once, when the end begins.
    leaving: watch::Sender<bool>,
}

impl<C: Client> Clients<C> {
    /// Clients of these names, all of which are still to be [put](Clients::put).
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(|name| (name.to_owned(), None));
        Self {
            current: RwLock::new(names.collect()),
            retired: Mutex::default(),
            leaving: watch::Sender::new(false),
        }
    }

    /// These clients, each under the name in its settings.
    pub fn of(served: impl IntoIterator<Item = Served<C>>) -> Self {
        let clients = Self::named([]);
        clients.replace(served);
        clients
    }

    /// The client that `name` stands for now.
    pub fn find(&self, name: &str) -> Found<C> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        match current.get(name) {
            Some(Some(served)) => Found::Served(Arc::clone(served)),
            Some(None) => Found::Loading,
            None => Found::Unknown,
        }
    }

    /// All clients that answer now, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Served<C>>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.values().flatten().cloned().collect()
    }

    /// All clients that may have flights under way: those that answer now, and then those that were
    /// replaced and still have callers.
    pub fn all_and_retired(&self) -> Vec<Arc<Served<C>>> {
        let mut served = self.all();
        served.extend(self.retired().iter().filter_map(Weak::upgrade));
        served
    }

    /// Lets `served` answer under its name from now on.
    pub fn put(&self, served: Served<C>) {
        let name = served.settings.name.clone();
        let served = Some(Arc::new(served));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = current.insert(name, served);
        drop(current);
        self.retire(replaced.flatten());
    }

    /// Lets these answer from now on, and no others.
    pub fn replace(&self, served: impl IntoIterator<Item = Served<C>>) {
        let by_name = |served: Served<C>| (served.settings.name.clone(), Some(Arc::new(served)));
        let next = served.into_iter().map(by_name).collect();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = std::mem::replace(&mut *current, next);
        drop(current);
        self.retire(replaced.into_values().flatten());
    }

    /// Whether every client answers, and the end has not begun.
    pub fn is_ready(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        !*self.leaving.borrow() && current.values().all(Option::is_some)
    }

    /// From now on they are not [ready](Clients::is_ready), and answer all the same.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Ready when the end has begun: whatever goes on for as long as somebody looks is to end then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn left(&self) {
        let mut leaving = self.leaving.subscribe();
        // The sender lives as long as `self`.
        let _ = leaving.wait_for(|leaving| *leaving).await;
    }

    /// Opens no flight any more, not even for those that were replaced; ends when all that are open have
    /// landed, or cancels them when `deadline` is ready. Returns how many were cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flights as they are, and the tables closed.
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        let served = self.all_and_retired();
        let deadline = deadline.shared();
        let drained = served
            .iter()
            .map(|served| served.client.next().drain(deadline.clone()));
        join_all(drained).await.into_iter().sum()
    }

    fn retire(&self, replaced: impl IntoIterator<Item = Arc<Served<C>>>) {
        let replaced = replaced.into_iter().map(|served| Arc::downgrade(&served));
        let mut retired = self.retired();
        retired.extend(replaced);
        retired.retain(|served| served.strong_count() > 0);
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Weak<Served<C>>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::poll;

    use super::*;
    use crate::client::{Answer, ClientError, Generation, Items};

    /// Answers the key `now`, and no other.
    #[derive(Debug)]
    struct Half(Generation);

    impl Client for Half {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn get_items(&self, key: Key) -> Answer {
            if key.as_str() != "now" {
                pending::<()>().await;
            }
            Items::new(vec![]).map_err(|_| ClientError::Internal).into()
        }
    }

    fn served(name: &str) -> Served<Half> {
        Served::new(Half(Generation::next()), Settings::new(name))
    }

    fn found(clients: &Clients<Half>, name: &str) -> Arc<Served<Half>> {
        match clients.find(name) {
            Found::Served(served) => served,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_client_that_is_being_loaded_is_known_and_does_not_answer_yet() {
        let clients = Clients::named(["a", "b"]);
        clients.put(served("a"));
        assert!(matches!(clients.find("b"), Found::Loading));
        assert!(matches!(clients.find("c"), Found::Unknown));
        assert!(!clients.is_ready());
        clients.put(served("b"));
        assert!(clients.is_ready());
        let mut left = Box::pin(clients.left());
        assert!(poll!(&mut left).is_pending());
        clients.leave();
        assert!(!clients.is_ready());
        assert!(poll!(left).is_ready());
    }

    #[tokio::test]
    async fn a_flight_ends_on_the_client_that_it_began_on_and_nobody_finds_that_any_more() {
        let clients = Clients::of([served("a"), served("b")]);
        let old = found(&clients, "a");
        let mut call = Box::pin(old.client().get_items("later".into()));
        assert!(poll!(&mut call).is_pending());
        clients.replace([served("a")]);
        let new = found(&clients, "a");
        assert_ne!(new.client().generation(), old.client().generation());
        assert!(matches!(clients.find("b"), Found::Unknown));
        assert!(new.client().get_items("now".into()).await.result.is_ok());
        assert_eq!(old.client().next().flights(), 1);
    }

    #[tokio::test]
    async fn those_that_were_replaced_are_drained_too_and_live_no_longer_than_their_callers() {
        let clients = Clients::of([served("a")]);
        let old = found(&clients, "a");
        let call = tokio::spawn(async move { old.client().get_items("later".into()).await });
        tokio::task::yield_now().await;
        clients.put(served("a"));
        clients.put(served("a"));
        assert_eq!(clients.retired().len(), 1);
        assert_eq!(clients.drain(ready(())).await, 1);
        let told = call.await.unwrap().result.unwrap_err();
        assert_eq!(told, ClientError::Cancelled);
        clients.put(served("a"));
        assert_eq!(clients.retired().len(), 0);
    }
}
