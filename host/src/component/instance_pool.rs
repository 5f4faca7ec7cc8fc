//! [`Instance`]: a guest in its store, for one flight or, if its client is configured so, for several; and
//! [`InstancePool`]: the idle instances of a client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use wasmtime::Store;
use wasmtime::component::Val;

use super::contract::exports::{Exported, Exports};
use super::contract::items::{GuestError, GuestItem};
use super::contract::typed::arguments;
use super::memory::GuestMemory;
use super::output::GuestOutput;
use super::store::StoreState;
use crate::flight_context::FlightContext;
use crate::model::{Call, Function};
use crate::settings::{InstanceReuse, Instances};

/// A guest in its store. Dropping it closes everything that the guest has open.
pub(super) struct Instance {
    store: Store<StoreState>,
    /// `None` before the first call.
    exported: Option<Exported>,
    created: Instant,
    calls: u32,
}

impl Instance {
    /// An instance that is instantiated by its first call, as part of that flight.
    pub(super) fn new(store: Store<StoreState>) -> Self {
        Self {
            store,
            exported: None,
            created: Instant::now(),
            calls: 0,
        }
    }

    /// Begins the next flight, in the current span, with its own requests and its own limit of `max_log_bytes`.
    /// Wasmtime itself resets the fuel for values passed to the host at each call. Memory and resources that the
    /// guest has kept still count against it.
    fn begin(&mut self, context: &FlightContext, max_log_bytes: usize) {
        self.output().begin(max_log_bytes, context.metrics());
        self.store.data_mut().set_context(context);
    }

    /// The guest's output.
    pub(super) fn output(&self) -> GuestOutput {
        self.store.data().output().clone()
    }

    /// What the guest holds.
    pub(super) fn memory(&self) -> &GuestMemory {
        self.store.data().memory()
    }

    /// Whether the guest has memory left for its answer of `bytes`, which the host holds.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        self.store.data_mut().has_room(bytes)
    }

    /// Calls the function of `call`, one of `exports`, of the guest, which is instantiated if it is not yet.
    pub(super) async fn call(
        &mut self,
        exports: &Exports,
        call: &Call,
    ) -> Result<Returned, CallError> {
        self.calls += 1;
        let exported = match &self.exported {
            Some(exported) => exported,
            None => {
                let started = exports.instantiate(&mut self.store).await;
                self.exported
                    .insert(started.map_err(CallError::NotStarted)?)
            }
        };
        match call.function() {
            Function::GetItems => {
                let x = call.x().ok_or(CallError::BadCall)?;
                let returned = Exports::get_items(exported, &mut self.store, x).await;
                returned.map(Returned::Items).map_err(CallError::Crashed)
            }
            Function::Typed(function) => {
                let room = self.store.data().memory().room();
                let arguments = arguments(function.signature(), call.arguments(), room)
                    .map_err(|_| CallError::BadCall)?
                    .ok_or(CallError::NoRoom)?;
                let store = &mut self.store;
                let returned = exports.call(exported, store, function, &arguments).await;
                returned.map(Returned::Value).map_err(CallError::Crashed)
            }
        }
    }
}

/// What a guest returned.
pub(super) enum Returned {
    /// From `get-items`.
    Items(Result<Vec<GuestItem>, GuestError>),
    /// From a typed function, if it has a result.
    Value(Option<Val>),
}

/// Why a guest returned nothing that can be read.
pub(super) enum CallError {
    /// The guest could not be instantiated and was not called.
    NotStarted(wasmtime::Error),
    /// The guest trapped, or its result is not of the contract's types.
    Crashed(wasmtime::Error),
    /// There is no memory for its arguments.
    NoRoom,
    /// The bytes of the call are not arguments of its function.
    BadCall,
}

/// The idle instances of one client. Always empty if each flight gets a fresh instance.
pub(super) struct InstancePool {
    policy: Instances,
    /// The maximum number of idle instances: as many as may run, since each of those may become idle.
    max_idle: usize,
    /// The context of idle instances, which belongs to no flight.
    idle_context: FlightContext,
    idle: Arc<Mutex<IdleInstances>>,
}

/// Invariant: while `instances` is not empty, `sweeper` is the task that drops them at their maximum age.
#[derive(Default)]
struct IdleInstances {
    /// A stack: the last one released is the next one acquired, so that the others can reach their maximum age.
    instances: Vec<Instance>,
    sweeper: Option<AbortHandle>,
}

impl InstancePool {
    pub(super) fn new(policy: Instances, max_idle: usize) -> Self {
        Self {
            policy,
            max_idle,
            idle_context: FlightContext::default(),
            idle: Arc::default(),
        }
    }

    /// The number of idle instances.
    pub(super) fn idle(&self) -> usize {
        lock(&self.idle).instances.len()
    }

    /// An idle instance below its maximum age, for a flight that has `context` and may print `max_log_bytes`.
    pub(super) fn acquire(
        &self,
        context: &FlightContext,
        max_log_bytes: usize,
    ) -> Option<Instance> {
        let Instances::Reused(InstanceReuse { max_age, .. }) = self.policy else {
            return None;
        };
        let mut instance = {
            let mut idle = lock(&self.idle);
            // The sweeper may run late, so the age is checked here, too.
            let is_young = |instance: &Instance| instance.created.elapsed() < max_age;
            match idle.instances.iter().rposition(is_young) {
                Some(last) => idle.instances.remove(last),
                None => {
                    // Drops the old ones, which frees slots in the engine for the fresh instance that is created
                    // next.
                    idle.instances.clear();
                    return None;
                }
            }
        };
        instance.begin(context, max_log_bytes);
        Some(instance)
    }

    /// Returns an instance whose flight has succeeded, for another flight if it may serve one.
    pub(super) fn release(&self, mut instance: Instance) {
        let Instances::Reused(InstanceReuse { max_calls, max_age }) = self.policy else {
            return;
        };
        if instance.calls >= max_calls || instance.created.elapsed() >= max_age {
            return;
        }
        // It would have too little left for the next flight, and what it keeps is not available to others.
        if instance.store.data_mut().is_half_full() {
            return;
        }
        // The flight's output ends with the flight. Dropping its context counts the flight's cost.
        instance.output().end();
        instance.store.data_mut().set_context(&self.idle_context);
        let mut idle = lock(&self.idle);
        if idle.instances.len() >= self.max_idle {
            return;
        }
        idle.instances.push(instance);
        // A sweeper ends early if the runtime that spawned it shuts down.
        if idle.sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            let sweeper = tokio::spawn(sweep(Arc::downgrade(&self.idle), max_age));
            idle.sweeper = Some(sweeper.abort_handle());
        }
    }
}

impl Drop for InstancePool {
    fn drop(&mut self) {
        if let Some(sweeper) = &lock(&self.idle).sweeper {
            sweeper.abort();
        }
    }
}

/// Drops instances when they reach `age`, and ends when there are none.
async fn sweep(idle: Weak<Mutex<IdleInstances>>, age: Duration) {
    loop {
        let next = {
            let Some(idle) = idle.upgrade() else {
                return;
            };
            let mut idle = lock(&idle);
            idle.instances
                .retain(|instance| instance.created.elapsed() < age);
            let oldest = idle.instances.iter().map(|instance| instance.created).min();
            // An age that overflows the clock is never reached.
            let Some(next) = oldest.and_then(|created| created.checked_add(age)) else {
                idle.sweeper = None;
                return;
            };
            next
        };
        sleep_until(next).await;
    }
}

fn lock(idle: &Mutex<IdleInstances>) -> MutexGuard<'_, IdleInstances> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
