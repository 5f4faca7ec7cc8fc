//! [`Instance`]: a guest in its store, for one flight or, where its client chose so, for several; and
//! [`InstancePool`]: those that wait for their next flight.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use wasmtime::Store;

use super::bindings::exports::oneflight::client::items::{Error, Item};
use super::bindings::{ItemsClient, ItemsClientPre};
use super::output::GuestOutput;
use super::store::StoreState;
use crate::flight_context::FlightContext;
use crate::settings::{InstanceReuse, Instances};

/// A guest in its store. Dropping it ends whatever it has under way.
pub(super) struct Instance {
    store: Store<StoreState>,
    /// None before the first call.
    guest: Option<ItemsClient>,
    made: Instant,
    calls: u32,
}

impl Instance {
    /// One that is instantiated when it is called, as part of that flight.
    pub(super) fn new(store: Store<StoreState>) -> Self {
        Self {
            store,
            guest: None,
            made: Instant::now(),
            calls: 0,
        }
    }

    /// Another flight begins, in the current span, with requests and a log of its own. Fuel for what is
    /// passed to the host begins anew with each call by itself; memory and resources that the guest has
    /// kept are still its own, and count.
    fn begin(&mut self, context: &FlightContext, log: usize) {
        self.output().begin(log, context.metrics());
        self.store.data_mut().answer_to(context);
    }

    /// What this guest prints.
    pub(super) fn output(&self) -> GuestOutput {
        self.store.data().output().clone()
    }

    pub(super) async fn call(
        &mut self,
        component: &ItemsClientPre<StoreState>,
        key: &str,
    ) -> Result<Result<Vec<Item>, Error>, CallError> {
        self.calls += 1;
        let guest = match &self.guest {
            Some(guest) => guest,
            None => {
                let started = component.instantiate_async(&mut self.store).await;
                self.guest.insert(started.map_err(CallError::NotStarted)?)
            }
        };
        let items = guest.oneflight_client_items();
        let returned = items.call_get_items(&mut self.store, key).await;
        returned.map_err(CallError::Crashed)
    }
}

/// Why a guest returned nothing that can be read.
pub(super) enum CallError {
    /// It was never called: its instance could not be made.
    NotStarted(wasmtime::Error),
    /// It ended in its call, or what it returned is no value of the contract's types.
    Crashed(wasmtime::Error),
}

/// The instances of one client that wait for their next flight: none, where each is to be fresh.
pub(super) struct InstancePool {
    choice: Instances,
    /// How many may wait: as many as may run, since each of them has.
    most: usize,
    /// What those that wait answer to: no flight.
    nobody: FlightContext,
    shelf: Arc<Mutex<Slots>>,
}

/// Invariant: while `instances` has any, `sweeper` is the task that drops them at their age.
#[derive(Default)]
struct Slots {
    /// The last one put here is the next one taken: the others can grow old.
    instances: Vec<Instance>,
    sweeper: Option<AbortHandle>,
}

impl InstancePool {
    pub(super) fn new(choice: Instances, most: usize) -> Self {
        Self {
            choice,
            most,
            nobody: FlightContext::default(),
            shelf: Arc::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.shelf).instances.len()
    }

    /// One that is young enough, ready for a flight that has `context` and may print `log` bytes.
    pub(super) fn take(&self, context: &FlightContext, log: usize) -> Option<Instance> {
        let Instances::Reused(InstanceReuse { max_age, .. }) = self.choice else {
            return None;
        };
        let mut taken = {
            let mut shelf = lock(&self.shelf);
            // The sweeper may be late, and an instance is not too old only when it is told so.
            let young = |instance: &Instance| instance.made.elapsed() < max_age;
            match shelf.instances.iter().rposition(young) {
                Some(last) => shelf.instances.remove(last),
                None => {
                    // They make room for the fresh one that is made now.
                    shelf.instances.clear();
                    return None;
                }
            }
        };
        taken.begin(context, log);
        Some(taken)
    }

    /// Keeps an instance whose flight has ended well, if it may serve another one.
    pub(super) fn put(&self, mut instance: Instance) {
        let Instances::Reused(InstanceReuse { max_calls, max_age }) = self.choice else {
            return;
        };
        if instance.calls >= max_calls || instance.made.elapsed() >= max_age {
            return;
        }
        // The flight's log ends with the flight, and what its requests took is counted then.
        instance.output().end();
        instance.store.data_mut().answer_to(&self.nobody);
        let mut shelf = lock(&self.shelf);
        if shelf.instances.len() >= self.most {
            return;
        }
        shelf.instances.push(instance);
        // A sweeper can end before its work does: with the runtime that it was started in.
        if shelf.sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            let sweeper = tokio::spawn(sweep(Arc::downgrade(&self.shelf), max_age));
            shelf.sweeper = Some(sweeper.abort_handle());
        }
    }
}

impl Drop for InstancePool {
    fn drop(&mut self) {
        if let Some(sweeper) = &lock(&self.shelf).sweeper {
            sweeper.abort();
        }
    }
}

/// Drops instances when they reach `age`, and ends when there are none.
async fn sweep(shelf: Weak<Mutex<Slots>>, age: Duration) {
    loop {
        let next = {
            let Some(shelf) = shelf.upgrade() else {
                return;
            };
            let mut shelf = lock(&shelf);
            shelf
                .instances
                .retain(|instance| instance.made.elapsed() < age);
            let oldest = shelf.instances.iter().map(|instance| instance.made).min();
            // An age past the end of time is never reached.
            let Some(next) = oldest.and_then(|made| made.checked_add(age)) else {
                shelf.sweeper = None;
                return;
            };
            next
        };
        sleep_until(next).await;
    }
}

fn lock(shelf: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
