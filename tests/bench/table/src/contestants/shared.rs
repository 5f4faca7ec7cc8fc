//! A map of `futures::future::Shared`, as people write it by hand: with the work in the callers' polls,
//! and with the work in a task.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::task::{JoinError, JoinHandle};

use crate::coalescer::{Coalescer, Failure, Outcome};

/// `Mutex<HashMap<K, Shared<BoxFuture<V>>>>`: whichever caller is polled drives the work.
#[derive(Debug, Default)]
pub struct Shared {
    flights: Flights<BoxFuture<'static, Outcome>>,
}

impl Coalescer for Shared {
    const NAME: &'static str = "map of Shared";

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let flight = self.flights.join_or(key, |listing| {
            let work = async move {
                let _removed_at_the_end = listing;
                work().await
            };
            work.boxed()
        });
        flight.await
    }

    fn forget(&self, key: u64) -> bool {
        self.flights.forget(key);
        true
    }
}

/// `Mutex<HashMap<K, Shared<JoinHandle<V>>>>`: the work runs in a separate task.
#[derive(Debug, Default)]
pub struct SharedTask {
    flights: Flights<Joined>,
}

/// A task's handle, with the error turned into one that can be cloned.
type Joined = future::Map<JoinHandle<Outcome>, fn(Result<Outcome, JoinError>) -> Outcome>;

impl Coalescer for SharedTask {
    const NAME: &'static str = "map of Shared, spawned";

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let flight = self.flights.join_or(key, |listing| {
            let task = tokio::spawn(async move {
                let _removed_at_the_end = listing;
                work().await
            });
            task.map(outcome as fn(_) -> _)
        });
        flight.await
    }

    fn forget(&self, key: u64) -> bool {
        self.flights.forget(key);
        true
    }
}

fn outcome(joined: Result<Outcome, JoinError>) -> Outcome {
    joined.unwrap_or_else(|error| {
        Err(if error.is_panic() {
            Failure::Panicked
        } else {
            Failure::Cancelled
        })
    })
}

/// The flights that can be joined, by key.
struct Flights<Fut: Future> {
    open: Arc<Mutex<Open<Fut>>>,
}

struct Open<Fut: Future> {
    by_key: HashMap<u64, (u64, future::Shared<Fut>)>,
    /// Tells two flights of one key apart.
    next: u64,
}

impl<Fut: Future<Output = Outcome>> Flights<Fut> {
    /// The flight that is open for the key, or a new one. It ends when its listing is dropped.
    fn join_or(&self, key: u64, work: impl FnOnce(Listing<Fut>) -> Fut) -> future::Shared<Fut> {
        let mut open = self.lock();
        let number = open.next;
        match open.by_key.entry(key) {
            Entry::Occupied(flight) => flight.get().1.clone(),
            Entry::Vacant(vacant) => {
                let flights = Self {
                    open: Arc::clone(&self.open),
                };
                let listing = Listing {
                    flights,
                    key,
                    number,
                };
                let flight = work(listing).shared();
                vacant.insert((number, flight.clone()));
                open.next += 1;
                flight
            }
        }
    }

    fn forget(&self, key: u64) {
        let flight = self.lock().by_key.remove(&key);
        // Dropped without the lock: the last handle drops the work, which drops its listing, which locks.
        drop(flight);
    }

    fn lock(&self) -> MutexGuard<'_, Open<Fut>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Fut: Future> Default for Flights<Fut> {
    fn default() -> Self {
        let open = Open {
            by_key: HashMap::new(),
            next: 0,
        };
        Self {
            open: Arc::new(Mutex::new(open)),
        }
    }
}

impl<Fut: Future> fmt::Debug for Flights<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Removes a flight from the map when dropped. The work holds it, so that a panic removes the flight too.
struct Listing<Fut: Future<Output = Outcome>> {
    flights: Flights<Fut>,
    key: u64,
    number: u64,
}

impl<Fut: Future<Output = Outcome>> Drop for Listing<Fut> {
    fn drop(&mut self) {
        let mut open = self.flights.lock();
        let listed = match open.by_key.entry(self.key) {
            Entry::Occupied(flight) if flight.get().0 == self.number => Some(flight.remove()),
            _ => None,
        };
        drop(open);
        drop(listed);
    }
}
