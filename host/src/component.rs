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
//! | `contract` | what a component exports that can be called, and how it is called |
//! | `max_memory` | what a client's limits allow it to take |
//! | `memory` | the limits on what an instance holds |
//! | `host_memory` | what the host holds for an instance |
//! | `store` | what an instance owns |
//! | `imports` | what an instance is linked to |
//! | `http_hooks` | how the requests of an instance are sent |
//! | `fetch` | the import `oneflight:client/fetch` |
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
//! | `interface_names` | what a component imports and exports, without compiling it |
//! | `error`, `report`, `names` | errors, and the functions, exports and imports of a component |

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
mod fetch;
mod host_memory;
mod http_hooks;
mod imports;
mod initial_sizes;
mod instance_pool;
mod interface_names;
mod loader;
mod max_memory;
mod memory;
mod names;
mod output;
mod report;
mod store;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::contract::exports::Exports;
use self::contract::items::{to_client_error, to_items};
use self::contract::outcome::to_answer;
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
use crate::model::{Call, ClientError, Function, Functions, Generation, Outcome, Resource, Usage};
use crate::settings::Settings;
use crate::typed::Value;
use crate::upstream::Upstream;

pub use self::address_space::AddressSpace;
pub use self::compile::{Cache, CacheError, Compilation, Compile, Program, compile_for_parent};
pub use self::engine::Engine;
pub use self::error::{CompileBudget, EngineError, LoadError, ShapeLimit};
pub use self::interface_names::ComponentNames;
pub use self::max_memory::MaxMemory;
pub use self::report::{ComponentReport, FunctionReport};
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
    exports: Exports,
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
            exports,
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
            exports,
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

    /// Its functions that can be called.
    #[must_use]
    pub fn functions(&self) -> &Arc<Functions> {
        self.0.exports.functions()
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

    fn functions(&self) -> Arc<Functions> {
        Arc::clone(Self::functions(self))
    }

    /// # Cancel safety
    ///
    /// Dropping the future drops the instance: the guest stops, and its open requests are closed.
    async fn execute(&self, call: Call, context: &FlightContext) -> Result<Outcome, ClientError> {
        if !self.0.has(call.function()) {
            return Err(ClientError::UnknownFunction);
        }
        self.0.execute(&call, context).await
    }
}

impl Loaded {
    /// Whether the component has `function`.
    fn has(&self, function: &Function) -> bool {
        match function {
            Function::GetItems => self.exports.functions().has_items(),
            Function::Typed(function) => self.exports.has(function),
        }
    }

    async fn execute(&self, call: &Call, context: &FlightContext) -> Result<Outcome, ClientError> {
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
            let returned = instance.call(&self.exports, call).await;
            self.result(returned, instance, call, context)
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

    /// The result of the flight of `call` whose guest, `instance`, has `returned`.
    fn result(
        &self,
        returned: Result<Returned, CallError>,
        mut instance: Instance,
        call: &Call,
        context: &FlightContext,
    ) -> Result<Outcome, ClientError> {
        context.record_memory(instance.memory().guest(), instance.memory().host_peak());
        let error = match returned {
            Ok(returned) => match self.answer(returned, call, context) {
                Ok((outcome, bytes)) => {
                    // What JSON may take is known before what it takes.
                    let exact = |value: &Value| value.bytes().len() + outcome.json().len();
                    let has_room = instance.has_room(bytes)
                        || outcome
                            .value()
                            .is_some_and(|value| instance.has_room(exact(value)));
                    if !has_room {
                        return Err(ClientError::ResultTooLarge("max_memory_bytes"));
                    }
                    self.release(instance, context);
                    return Ok(outcome);
                }
                // The guest has kept the contract, and reports why it has no answer.
                Err(NoAnswer::ByGuest(error)) => {
                    self.release(instance, context);
                    error
                }
                Err(NoAnswer::ByHost(error)) => return Err(error),
            },
            Err(CallError::NotStarted(error)) => {
                start_error(&error, instance.memory().exceeded(), &instance.output())
            }
            Err(CallError::Crashed(error)) => {
                call_error(&error, instance.memory().exceeded(), &instance.output())
            }
            Err(CallError::NoRoom) => ClientError::ResultTooLarge("max_memory_bytes"),
            Err(CallError::BadCall) => ClientError::Internal,
        };
        // A failure that the host has recorded is the cause, and the guest's error its consequence.
        Err(context.last_failure().unwrap_or(error))
    }

    /// What a guest `returned` for `call`, and what that takes in bytes.
    fn answer(
        &self,
        returned: Returned,
        call: &Call,
        context: &FlightContext,
    ) -> Result<(Outcome, usize), NoAnswer> {
        let response = || context.last_response();
        match (returned, call.function()) {
            (Returned::Items(Ok(items)), _) => {
                let answer = to_items(items, &self.settings.limits).map_err(NoAnswer::ByHost)?;
                Ok((answer.items.into(), answer.bytes))
            }
            (Returned::Items(Err(error)), _) => {
                let x = call.x().unwrap_or_default();
                let error = to_client_error(error, response().as_ref(), x);
                Err(NoAnswer::ByGuest(error))
            }
            (Returned::Value(value), Function::Typed(function)) => {
                match to_answer(
                    function,
                    value.as_ref(),
                    &self.settings,
                    response().as_ref(),
                ) {
                    Ok(answer) => Ok((answer.value.into(), answer.bytes)),
                    Err(error @ ClientError::Client(_)) => Err(NoAnswer::ByGuest(error)),
                    Err(error) => Err(NoAnswer::ByHost(error)),
                }
            }
            (Returned::Value(_), Function::GetItems) => {
                Err(NoAnswer::ByHost(ClientError::Internal))
            }
        }
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

/// Why what a guest returned is no answer.
enum NoAnswer {
    /// It is an error.
    ByGuest(ClientError),
    /// It breaks the contract or a limit.
    ByHost(ClientError),
}
