//! [`ComponentClient`]: executions that are calls of a WebAssembly component.
//!
//! A component is loaded once and checked whole; each call then gets an instance in a store of its
//! own, made from what loading prepared, or one that served calls before where the client chose so. It
//! shares no call, queues nothing and has no deadline but that on processor time: all that is the
//! decorators'.

mod check;
mod compile;
mod engine;
mod error_mapping;
mod instance_pool;
mod output;
mod store;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use self::bindings::ItemsClientPre;
use self::bindings::exports::oneflight::client::items as guest;
use self::engine::ExecutionQuota;
use self::error_mapping::{crashed, named, not_started};
use self::instance_pool::{CallError, Instance, InstancePool};
use self::store::{StoreState, new_store};
use crate::client::Execute;
use crate::flight_context::FlightContext;
use crate::model::{
    Call, ClientError, Function, Generation, Item, Items, MalformedItems, Outcome, Usage,
};
use crate::settings::Settings;
use crate::upstream::Upstream;

pub use self::check::{CompileBudget, LoadError, Report, ShapeLimit};
pub use self::compile::{Cache, CacheError, Compilation, Compile, Program, compile_for_parent};
pub use self::engine::Engine;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "items-client",
        exports: { default: async },
    });
}

/// A component, loaded and ready to be called. Cloning shares it.
#[derive(Clone)]
pub struct ComponentClient(Arc<Loaded>);

struct Loaded {
    generation: Generation,
    engine: Engine,
    settings: Settings,
    component: ItemsClientPre<StoreState>,
    upstream: Arc<Upstream>,
    report: Report,
    /// Calls of the guest so far.
    calls: AtomicU64,
    /// Calls under way: each holds a clone.
    running: Arc<()>,
    idle: InstancePool,
    /// Last, so that it is given back when no instance is left.
    _share: ExecutionQuota,
}

impl ComponentClient {
    /// Compiles the component in `binary`, checks it, and instantiates it once, so that whatever is
    /// wrong with it shows here and not at its first caller.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what was found, what is needed and how to mend it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the load. A child that compiles is ended; in this process
    /// compiling goes on to its end on a thread of its own.
    pub async fn load(
        engine: &Engine,
        binary: impl Into<Arc<[u8]>>,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let binary = binary.into();
        let share = engine.share(&settings.limits)?;
        let component = compile::compile(engine, Arc::clone(&binary)).await?;
        let report = check::report(engine.wasmtime(), &component, binary.len());
        let upstream = Arc::new(Upstream::new(&settings.policy, &settings.limits));
        let context = FlightContext::default();
        let store = new_store(engine, &settings, &upstream, &context);
        let spare = engine.spare().await;
        let component =
            check::start(engine, (&component, &report), store, &settings.limits).await?;
        drop(spare);
        let idle = InstancePool::new(settings.instances, settings.limits.max_executions);
        Ok(Self(Arc::new(Loaded {
            generation: Generation::next(),
            engine: engine.clone(),
            settings,
            component,
            upstream,
            report,
            calls: AtomicU64::new(0),
            running: Arc::default(),
            idle,
            _share: share,
        })))
    }

    /// What it was loaded with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What the component is made of.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// What the guest was called for and has sent since it was loaded, and what is under way.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            guest_calls: self.0.calls.load(Ordering::Relaxed),
            upstream_requests: self.0.upstream.sent(),
            waiting: 0,
            running: Arc::strong_count(&self.0.running) - 1,
            idle: self.0.idle.count(),
            connections: self.0.upstream.connections(),
        }
    }
}

impl std::fmt::Debug for ComponentClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ComponentClient")
            .field(&self.0.settings)
            .finish()
    }
}

impl Execute for ComponentClient {
    fn generation(&self) -> Generation {
        self.0.generation
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    /// # Cancel safety
    ///
    /// Dropping the future drops the instance: the guest runs no further, and its open requests are
    /// closed.
    async fn execute(&self, call: Call, context: &FlightContext) -> Result<Outcome, ClientError> {
        match call.function() {
            Function::GetItems => {
                let x = call.x().ok_or(ClientError::Internal)?;
                Ok(self.0.get_items(x, context).await?.into())
            }
        }
    }
}

impl Loaded {
    async fn get_items(&self, x: &str, context: &FlightContext) -> Result<Items, ClientError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        // Before the instance, so that it is dropped after it.
        let _running = Arc::clone(&self.running);
        let limits = &self.settings.limits;
        let idle = self.idle.take(context, limits.max_log_bytes);
        let mut instance = idle.unwrap_or_else(|| self.instance(context));
        let output = instance.output();
        let run = instance.call(&self.component, x);
        let returned = match within(limits.max_cpu_time, context, run).await {
            None => {
                tracing::warn!(limit = ?limits.max_cpu_time, "the guest used up its processor time");
                return Err(ClientError::GuestDeadline);
            }
            Some(returned) => returned,
        };
        let failed = match returned {
            Ok(Ok(items)) => {
                let items = self.take(items)?;
                self.keep(instance, context);
                return Ok(items);
            }
            Ok(Err(error)) => {
                self.keep(instance, context);
                named(error)
            }
            Err(CallError::NotStarted(error)) => not_started(&error, &output),
            Err(CallError::Crashed(error)) => crashed(&error, &output),
        };
        // A guest that gave up because the host failed its request is not the one to name that.
        Err(context.last_failure().unwrap_or(failed))
    }

    /// A fresh one.
    fn instance(&self, context: &FlightContext) -> Instance {
        let (settings, upstream) = (&self.settings, &self.upstream);
        Instance::new(new_store(&self.engine, settings, upstream, context))
    }

    /// Keeps an instance that has returned, for the next call. Not one that has a request under way,
    /// which would outlive its flight, nor one whose requests failed on the host's side: what it made of
    /// that is not for another flight to find out.
    fn keep(&self, instance: Instance, context: &FlightContext) {
        if !context.any_open() && !context.any_failed() {
            self.idle.put(instance);
        }
    }

    /// The guest's items, if they keep the contract.
    fn take(&self, items: Vec<guest::Item>) -> Result<Items, ClientError> {
        let (found, limit) = (items.len(), self.settings.limits.max_items);
        if found > limit {
            tracing::warn!(found, limit, "the guest's answer has too many items");
            return Err(ClientError::ResultTooLarge);
        }
        let items: Result<Vec<_>, MalformedItems> = items
            .into_iter()
            .map(|item| Item::new(item.id, item.body))
            .collect();
        items.and_then(Items::new).map_err(|reason| {
            tracing::warn!(%reason, "the guest's answer breaks the contract");
            ClientError::GuestMalformed
        })
    }
}

/// Runs `future` until it is ready or has used `budget` of processor time inside its polls. A guest
/// yields each tick, so it is overrun by one tick at most.
async fn within<F: Future>(
    budget: Duration,
    context: &FlightContext,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut spent = Duration::ZERO;
    poll_fn(|cx| {
        // Asking for the processor's own time takes longer than most polls. For the first tenth the time
        // that passed stands for it, which is more where the thread had to wait for its processor: on a
        // busy machine a guest is not to pay for that with all it has.
        let clock = if spent < budget / 10 {
            ClockId::Monotonic
        } else {
            ClockId::ThreadCPUTime
        };
        let began = time(clock);
        let polled = future.as_mut().poll(cx);
        let polling = time(clock).saturating_sub(began);
        spent += polling;
        context.add_guest_time(polling);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if spent >= budget => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn time(clock: ClockId) -> Duration {
    // Neither of the two goes below zero.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
