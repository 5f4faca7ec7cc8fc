//! [`ComponentClient`] executes calls in a WebAssembly component.
//!
//! A component is loaded and checked once. Each call then gets a fresh instance with its own store, or, if the client
//! is configured so, one that has served earlier calls. Sharing calls, queueing them and limiting their elapsed time
//! is up to the decorators; only the limit on processor time is enforced here.
//!
//! | module | holds |
//! |---|---|
//! | `loader` | the load of a component: from its bytes to something that can be instantiated |
//! | `instance_pool` | an instance, and the pool of idle instances |
//! | `contract` | the interfaces that a client can export, and how they are called |
//! | `max_memory` | what a client's limits allow it to take |
//! | `memory` | the limits on what an instance holds |
//! | `host_memory` | what the host holds for an instance |
//! | `store` | what an instance owns |
//! | `imports` | what an instance is linked to |
//! | `engine` | wasmtime's engine, with its instance allocator and quotas |
//! | `address_space` | the address space that instances take, and what is left of it |
//! | `epoch` | the ticker that interrupts guests |
//! | `compile` | compilation: checks before it, compilers, the cache of compiled code |
//! | `code` | loads compiled code |
//! | `error_mapping` | the error of a flight whose guest did not return |
//! | `backtrace` | the functions that a guest was in when it crashed |
//! | `output` | logs what a guest prints |
//! | `codegen` | the part of wasmtime's configuration that compiled code depends on |
//! | `cpu_budget` | the limit on processor time |
//! | `turns` | on which threads guests run, and how many of a client at a time |
//! | `error`, `report` | errors, and the exports and imports of a component |

mod address_space;
mod backtrace;
mod code;
mod codegen;
mod compile;
mod contract;
mod cpu_budget;
mod engine;
mod epoch;
mod error;
mod error_mapping;
mod host_memory;
mod imports;
mod instance_pool;
mod loader;
mod max_memory;
mod memory;
mod output;
mod report;
mod store;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::contract::items::{ItemsPre, to_client_error, to_items};
use self::cpu_budget::CpuBudget;
use self::engine::ExecutionQuota;
use self::error_mapping::{call_error, start_error};
use self::instance_pool::{CallError, Instance, InstancePool, Returned};
use self::loader::{LoadedComponent, Loader};
use self::memory::TotalMemory;
use self::store::new_store;
use self::turns::Turns;
use crate::client::Execute;
use crate::flight_context::FlightContext;
use crate::model::{Call, ClientError, Function, Generation, Items, Outcome, Resource, Usage};
use crate::settings::Settings;
use crate::upstream::Upstream;

pub use self::address_space::AddressSpace;
pub use self::compile::{Cache, CacheError, Compilation, Compile, Program, compile_for_parent};
pub use self::engine::Engine;
pub use self::error::{CompileBudget, EngineError, LoadError, ShapeLimit};
pub use self::max_memory::MaxMemory;
pub use self::report::ComponentReport;
pub use self::turns::max_guest_threads;

/// A component, loaded and ready to be called. Clones share one component.
#[derive(Clone)]
pub struct ComponentClient(Arc<Loaded>);

struct Loaded {
    generation: Generation,
    engine: Engine,
    address_space: AddressSpace,
    max_memory: MaxMemory,
    settings: Settings,
    component: ItemsPre,
    upstream: Arc<Upstream>,
    /// The memory of all instances.
    memory: Arc<TotalMemory>,
    report: ComponentReport,
    /// Calls of the guest so far.
    calls: AtomicU64,
    /// Counts running calls: each holds a clone.
    running: Arc<()>,
    turns: Turns,
    pool: InstancePool,
    /// Declared last: fields are dropped in order, and the quota is returned once no instance is left.
    _quota: ExecutionQuota,
}

impl ComponentClient {
    /// Compiles the component in `binary`, checks it, and instantiates it once, so that an error in it is reported
    /// here and not to its first caller.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what was expected, what was found and what to do.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the load. A child process that compiles is killed; in this process the compiler
    /// runs to its end on its own thread.
    pub async fn load(
        engine: &Engine,
        binary: impl Into<Arc<[u8]>>,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let loader = Loader::new(engine);
        let LoadedComponent {
            engine,
            quota,
            address_space,
            max_memory,
            items,
            report,
            memory,
            upstream,
            turns,
        } = loader.load(binary.into(), &settings).await?;
        let pool = InstancePool::new(settings.instances, settings.limits.max_executions);
        Ok(Self(Arc::new(Loaded {
            generation: Generation::next(),
            engine,
            address_space,
            max_memory,
            settings,
            component: items,
            upstream,
            memory,
            report,
            calls: AtomicU64::new(0),
            running: Arc::default(),
            turns,
            pool,
            _quota: quota,
        })))
    }

    /// The settings that this component was loaded with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The size, exports and imports of the component.
    #[must_use]
    pub fn report(&self) -> &ComponentReport {
        &self.0.report
    }

    /// Whether its instances are in a pool; otherwise each is allocated on demand.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.0.engine.is_pooled()
    }

    /// The address space that it takes when all its executions run. A pool has reserved it.
    #[must_use]
    pub fn address_space(&self) -> AddressSpace {
        self.0.address_space
    }

    /// The most memory that its limits allow it to take.
    #[must_use]
    pub fn max_memory(&self) -> MaxMemory {
        self.0.max_memory
    }

    /// The guest's calls and requests since it was loaded, and what is in use now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            guest_calls: self.0.calls.load(Ordering::Relaxed),
            upstream_requests: self.0.upstream.sent(),
            waiting: 0,
            running: Arc::strong_count(&self.0.running) - 1,
            computing: self.0.turns.computing(),
            idle: self.0.pool.idle(),
            memory: self.0.memory.used(),
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
    /// Dropping the future drops the instance: the guest stops, and its open requests are closed.
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
        // Declared before the instance, so that it is dropped after it.
        let _running = Arc::clone(&self.running);
        let limits = &self.settings.limits;
        // All of it is work for the guest, and counts as its processor time: also what the host does with its result,
        // and dropping its instance.
        let execution = async {
            let mut instance = match self.pool.acquire(context, limits.max_log_bytes) {
                Some(instance) => instance,
                None => self.fresh_instance(context)?,
            };
            let returned = instance.get_items(&self.component, x).await;
            self.result(returned, instance, x, context)
        };
        let budget = CpuBudget::new(limits.max_cpu_time);
        match self.turns.run(budget, context, execution).await {
            Ok(result) => result,
            Err(exceeded) => {
                tracing::warn!("{exceeded}");
                Err(ClientError::GuestDeadline("max_cpu_time"))
            }
        }
    }

    /// The result of a flight with the key `x` whose guest, `instance`, has `returned`.
    fn result(
        &self,
        returned: Returned,
        mut instance: Instance,
        x: &str,
        context: &FlightContext,
    ) -> Result<Items, ClientError> {
        context.record_memory(instance.memory().guest(), instance.memory().host_peak());
        let error = match returned {
            Ok(Ok(items)) => {
                let answer = to_items(items, &self.settings.limits)?;
                if !instance.has_room(answer.bytes) {
                    return Err(ClientError::ResultTooLarge("max_memory_bytes"));
                }
                self.release(instance, context);
                return Ok(answer.items);
            }
            Ok(Err(error)) => {
                self.release(instance, context);
                to_client_error(error, context.last_response().as_ref(), x)
            }
            Err(CallError::NotStarted(error)) => {
                start_error(&error, instance.memory().exceeded(), &instance.output())
            }
            Err(CallError::Crashed(error)) => {
                call_error(&error, instance.memory().exceeded(), &instance.output())
            }
        };
        // A failure that the host has recorded is the cause, and the guest's error its consequence.
        Err(context.last_failure().unwrap_or(error))
    }

    fn fresh_instance(&self, context: &FlightContext) -> Result<Instance, ClientError> {
        let (engine, settings) = (self.engine.wasmtime(), &self.settings);
        match new_store(engine, settings, &self.memory, &self.upstream, context) {
            Ok(store) => Ok(Instance::new(store)),
            Err(_) => Err(ClientError::Overloaded(Resource::Memory)),
        }
    }

    /// Releases an instance that has returned, for another call. An instance with an open request is not released,
    /// because the request would outlive its flight. Nor is one whose requests failed on the host's side: the guest
    /// may remember the failure, and another flight must not depend on it.
    fn release(&self, instance: Instance, context: &FlightContext) {
        if !context.any_open() && !context.any_failed() {
            self.pool.release(instance);
        }
    }
}
