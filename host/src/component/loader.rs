//! [`Loader`]: from a component's bytes to a component that can be instantiated.
//!
//! The steps are: check the bytes, compile, link, look up the interface, and instantiate once. An error in a
//! component is reported here, and not to its first caller.

use std::sync::Arc;

use tokio::time::timeout;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};

use super::address_space::AddressSpace;
use super::backtrace::frames;
use super::compile::spawn_blocking;
use super::contract::exports::{Exports, LinkedComponent};
use super::cpu_budget::CpuBudget;
use super::engine::{Engine, ExecutionQuota, address_space_of, memories_of};
use super::error::LoadError;
use super::error_mapping::reason;
use super::initial_sizes::check_initial_sizes;
use super::max_memory::MaxMemory;
use super::memory::TotalMemory;
use super::report::ComponentReport;
use super::store::{StoreState, new_store};
use super::turns::Turns;
use crate::flight_context::FlightContext;
use crate::model::Limits;
use crate::settings::Settings;
use crate::upstream::Upstream;
use crate::wit::embedded_docs;

/// Loads components for an engine.
pub(super) struct Loader<'e> {
    engine: &'e Engine,
}

/// A component that has been checked and started once.
pub(super) struct LoadedComponent {
    /// The engine that runs it.
    pub(super) engine: Engine,
    /// Its executions.
    pub(super) quota: ExecutionQuota,
    /// The address space that they take.
    pub(super) address_space: AddressSpace,
    /// The most memory that they take.
    pub(super) max_memory: MaxMemory,
    pub(super) exports: Exports,
    pub(super) report: ComponentReport,
    /// The memory of its executions.
    pub(super) memory: Arc<TotalMemory>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) turns: Turns,
}

impl<'e> Loader<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self { engine }
    }

    /// Loads the component in `binary` for a client with `settings`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the load.
    pub(super) async fn load(
        &self,
        binary: Arc<[u8]>,
        settings: &Settings,
    ) -> Result<LoadedComponent, LoadError> {
        let (bytes, limits) = (binary.len(), &settings.limits);
        // Before the component is compiled, so that a client without room is refused at once.
        let quota = self.engine.reserve(limits)?;
        check_sizes(Arc::clone(&binary), limits.clone()).await?;
        let compiler = self.engine.compiler();
        let carried = Arc::clone(&binary);
        let carried = spawn_blocking(move || Ok(embedded_docs(&carried))).await?;
        let component = compiler.compile(self.engine.wasmtime(), binary).await?;
        let prepared = prepare(self.engine.clone(), component, limits.clone());
        let Prepared {
            engine,
            component,
            address_space,
            linked,
        } = prepared.await?;
        let exports = linked.into_exports(settings, carried.as_ref())?;
        let quota = if self.engine.is_pooled() {
            quota
        } else {
            engine.reserve(limits)?
        };
        let code = component.image_range();
        let max_memory = MaxMemory::new(
            limits,
            memories_of(&component, limits),
            (code.end as usize).saturating_sub(code.start as usize),
            engine.is_pooled(),
        );
        let wasmtime = engine.wasmtime();
        let report = ComponentReport::new(wasmtime, &component, bytes, &exports);
        let slot = engine.load_slot().await;
        let upstream = Arc::new(Upstream::new(&settings.policy, &settings.limits));
        let memory = Arc::new(TotalMemory::new(limits));
        let context = FlightContext::default();
        let store = new_store(wasmtime, settings, &memory, &upstream, &context)
            .map_err(|exceeded| LoadError::DoesNotStart(exceeded.to_string()))?;
        let turns = Turns::new(limits);
        let (mut store, instance) = instantiate(exports.linked(), store, limits, &turns).await?;
        exports.check_types(&component, &mut store, &instance)?;
        drop((store, slot));
        Ok(LoadedComponent {
            engine,
            quota,
            address_space,
            max_memory,
            exports,
            report,
            memory,
            upstream,
            turns,
        })
    }
}

/// Reads the declarations of `binary`, so it blocks no thread of the runtime.
async fn check_sizes(binary: Arc<[u8]>, limits: Limits) -> Result<(), LoadError> {
    spawn_blocking(move || check_initial_sizes(&binary, &limits)).await
}

/// A component that is linked, and its engine.
struct Prepared {
    engine: Engine,
    component: Component,
    address_space: AddressSpace,
    linked: LinkedComponent,
}

/// Prepares `component` to be instantiated. How long that takes depends on its size and on its types, so it blocks no
/// thread of the runtime.
async fn prepare(
    engine: Engine,
    component: Component,
    limits: Limits,
) -> Result<Prepared, LoadError> {
    spawn_blocking(move || {
        let address_space = address_space_of(&component, &limits);
        let (engine, component) = engine.for_component(component, &limits)?;
        let linked = LinkedComponent::new(engine.wasmtime(), &component)?;
        Ok(Prepared {
            engine,
            component,
            address_space,
            linked,
        })
    })
    .await
}

/// Instantiates `linked` in `store` within `limits`, for no flight: the types of functions can only be compared
/// in an instance.
async fn instantiate(
    linked: &InstancePre<StoreState>,
    mut store: Store<StoreState>,
    limits: &Limits,
    turns: &Turns,
) -> Result<(Store<StoreState>, Instance), LoadError> {
    let context = FlightContext::default();
    let budget = CpuBudget::new(limits.max_cpu_time);
    let starting = turns.run(budget, &context, linked.instantiate_async(&mut store));
    let started = match timeout(limits.flight_timeout, starting).await {
        Ok(Ok(Ok(instance))) => Ok(instance),
        Ok(Ok(Err(error))) => Err(why_not_started(&error)),
        Ok(Err(exceeded)) => Err(exceeded.to_string()),
        Err(_) => Err(format!(
            "the guest exceeded its time of {:?}; raise flight_timeout if it needs more",
            limits.flight_timeout
        )),
    };
    match started {
        Ok(instance) => Ok((store, instance)),
        Err(why) => {
            let stderr = match store.data().output().stderr_ends() {
                ends if ends.is_empty() => String::new(),
                ends => format!("; stderr: {ends}"),
            };
            Err(LoadError::DoesNotStart(why + &stderr))
        }
    }
}

/// The reason, and the functions that the guest was in.
fn why_not_started(error: &wasmtime::Error) -> String {
    match error.downcast_ref().map(frames) {
        Some(frames) => format!("{}; in {frames}", reason(error)),
        None => reason(error),
    }
}
