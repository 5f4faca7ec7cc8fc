//! [`Engine`]: what runs the guests of a client, or of several: wasmtime's engine, the pool of its instances, and the
//! compiler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::address_space::{AddressSpace, Reservation};
use super::code::deserialize;
use super::codegen::codegen_config;
use super::compile::{Compilation, Compiler};
use super::epoch;
use super::error::{EngineError, LoadError};
use super::error_mapping::is_out_of_memory;
use crate::model::Limits;
use crate::printable::bounded;

/// The most of a guest's memory that stays resident for the next guest in its slot: 2 MiB. Guests of the usual size
/// touch less, so none of their pages are returned and faulted in again.
const MAX_RESIDENT_BYTES: usize = 2 << 20;

/// How much of a guest's memory stays resident in each slot, in bytes. All slots together keep at most an eighth of
/// `max_total_memory_bytes`: 288 KiB each by default. Rust guests touch about 50 KiB.
fn resident_bytes(limits: &Limits) -> usize {
    let slots = limits.max_executions.saturating_add(1);
    (limits.max_total_memory_bytes / 8 / slots).clamp(64 << 10, MAX_RESIDENT_BYTES)
}

/// What the pool of a client with `limits` keeps resident at most, in bytes, for instances of `memories` memories each.
pub(super) fn max_kept_bytes(limits: &Limits, memories: usize) -> usize {
    let slots = limits.max_executions.saturating_add(1);
    resident_bytes(limits)
        .saturating_mul(memories)
        .saturating_mul(slots)
}

/// Compiles and runs guests. Cloning shares it.
#[derive(Clone)]
pub struct Engine {
    allocator: Arc<Allocator>,
    compiler: Compiler,
}

/// Wasmtime's engine, and how it allocates instances.
struct Allocator {
    wasmtime: wasmtime::Engine,
    /// `None` if instances are allocated on demand.
    pool: Option<Pool>,
    /// The one slot of the pool beyond its executions, for the component that is being loaded.
    load_slot: Semaphore,
    /// Declared last: it is free again once the pool is.
    _reservation: Option<Reservation>,
}

/// Which slots of the pool are reserved.
struct Pool {
    /// The sizes of the pool.
    limits: Limits,
    /// Executions that are not part of any client's quota.
    ///
    /// Invariant: together with the quotas of all clients this is `limits.max_executions`. A client takes its
    /// quota when it is loaded and returns it when it is dropped, so no client finds the pool full.
    available: AtomicUsize,
}

/// What one instance of a component takes of a pool.
struct InstanceNeeds {
    memories: usize,
    tables: usize,
}

/// The quota of concurrent executions of one client. Dropping it returns them to the engine.
pub(super) struct ExecutionQuota {
    allocator: Arc<Allocator>,
    executions: usize,
}

impl Drop for ExecutionQuota {
    fn drop(&mut self) {
        if let Some(pool) = &self.allocator.pool {
            pool.available.fetch_add(self.executions, Ordering::AcqRel);
        }
    }
}

impl Engine {
    /// An engine with a pool for `limits.max_executions` guests, each within `limits`. Each client reserves its own
    /// quota of them: with several clients, `limits.max_executions` is their sum. It compiles in this process, unless
    /// [`Engine::compiling`] sets another policy.
    ///
    /// # Errors
    ///
    /// When this machine cannot reserve the address space, or start a thread.
    pub fn new(limits: &Limits) -> Result<Self, EngineError> {
        let needs = InstanceNeeds {
            memories: limits.max_memories,
            tables: limits.max_tables,
        };
        Self::pooled(limits, &needs, None, Compiler::default())
    }

    /// An engine without a pool. Each client that is loaded gets an engine of its own, with a pool for its executions,
    /// as long as there is address space for it; the instances of further clients are allocated on demand, which takes
    /// about 20 µs longer for each. All of these clients share the limit of concurrent compilers.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn on_demand() -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&codegen_config());
        Self::started(wasmtime, None, None, Compiler::default())
    }

    fn pooled(
        limits: &Limits,
        needs: &InstanceNeeds,
        reservation: Option<Reservation>,
        compiler: Compiler,
    ) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&pool_config(limits, needs)?);
        let pool = Pool {
            limits: limits.clone(),
            available: AtomicUsize::new(limits.max_executions),
        };
        Self::started(wasmtime, Some(pool), reservation, compiler)
    }

    fn started(
        wasmtime: wasmtime::Result<wasmtime::Engine>,
        pool: Option<Pool>,
        reservation: Option<Reservation>,
        compiler: Compiler,
    ) -> Result<Self, EngineError> {
        let wasmtime = wasmtime.map_err(|error| {
            let why = format!("{error:#}");
            if is_out_of_memory(&error) {
                EngineError::AddressSpace(why)
            } else {
                EngineError::Configuration(why)
            }
        })?;
        epoch::tick(&wasmtime)?;
        let allocator = Allocator {
            wasmtime,
            pool,
            load_slot: Semaphore::new(1),
            _reservation: reservation,
        };
        Ok(Self {
            allocator: Arc::new(allocator),
            compiler,
        })
    }

    /// The engine for `component`, which was compiled for this one, and the component for that engine. It is this
    /// engine if it has a pool, or if there is no address space for another pool. Copies the component's code.
    pub(super) fn for_component(
        &self,
        component: Component,
        limits: &Limits,
    ) -> Result<(Self, Component), LoadError> {
        if self.is_pooled() {
            return Ok((self.clone(), component));
        }
        let needs = InstanceNeeds::of(&component, limits);
        let Some(pooled) = self.with_pool(limits, &needs) else {
            return Ok((self.clone(), component));
        };
        let code = component
            .serialize()
            .map_err(|error| LoadError::NotCompiled(bounded(format_args!("{error:#}"))))?;
        // Its code is not held twice.
        drop(component);
        let component = deserialize(pooled.wasmtime(), &code)?;
        Ok((pooled, component))
    }

    /// An engine with a pool for one client, if there is address space for it.
    fn with_pool(&self, limits: &Limits, needs: &InstanceNeeds) -> Option<Self> {
        let reservation = Reservation::new(needs.address_space(limits))?;
        // The system may refuse what this process counts as free.
        Self::pooled(limits, needs, Some(reservation), self.compiler.clone()).ok()
    }

    /// Whether its instances are in a pool.
    pub(super) fn is_pooled(&self) -> bool {
        self.allocator.pool.is_some()
    }

    /// The same engine, which compiles according to `compilation` from now on. Existing clones keep their
    /// policy.
    #[must_use]
    pub fn compiling(self, compilation: Compilation) -> Self {
        Self {
            compiler: self.compiler.with(compilation),
            ..self
        }
    }

    /// The number of instances in the pool now: running, idle, and being loaded.
    #[must_use]
    pub fn instances(&self) -> u64 {
        let pool = self.allocator.wasmtime.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }

    /// Reserves the executions of a client with `limits`, if that many are available in the pool.
    pub(super) fn reserve(&self, limits: &Limits) -> Result<ExecutionQuota, LoadError> {
        let allocator = Arc::clone(&self.allocator);
        let executions = limits.max_executions;
        let Some(reserved) = &self.allocator.pool else {
            return Ok(ExecutionQuota {
                allocator,
                executions,
            });
        };
        let pool = &reserved.limits;
        let sizes = [
            (
                "bytes of memory",
                limits.max_memory_bytes,
                pool.max_memory_bytes,
            ),
            ("core modules", limits.max_modules, pool.max_modules),
            ("memories", limits.max_memories, pool.max_memories),
            ("tables", limits.max_tables, pool.max_tables),
            (
                "elements of a table",
                limits.max_table_elements,
                pool.max_table_elements,
            ),
        ];
        let no_room = |what, requested, available| LoadError::NoRoom {
            what,
            requested,
            available,
        };
        for (what, requested, available) in sizes {
            if requested > available {
                return Err(no_room(what, requested, available));
            }
        }
        reserved
            .available
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |available| {
                available.checked_sub(executions)
            })
            .map_err(|available| no_room("concurrent executions", executions, available))?;
        Ok(ExecutionQuota {
            allocator,
            executions,
        })
    }

    /// Waits for the slot for a component that is being loaded, and holds it until the guard is dropped.
    pub(super) async fn load_slot(&self) -> impl Drop + use<'_> {
        let permit = self.allocator.load_slot.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.allocator.wasmtime
    }

    pub(super) fn compiler(&self) -> &Compiler {
        &self.compiler
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl InstanceNeeds {
    /// What an instance of `component` needs, within `limits`.
    fn of(component: &Component, limits: &Limits) -> Self {
        let (memories, tables) = match component.resources_required() {
            Some(required) => (required.num_memories as usize, required.num_tables as usize),
            None => (limits.max_memories, limits.max_tables),
        };
        Self {
            memories: memories.min(limits.max_memories),
            tables: tables.min(limits.max_tables),
        }
    }

    /// The address space that all executions take, and one more that is being loaded.
    fn address_space(&self, limits: &Limits) -> AddressSpace {
        let elements = self.tables.saturating_mul(limits.max_table_elements);
        let one = AddressSpace::of_execution(self.memories, elements);
        one * limits.max_executions.saturating_add(1)
    }
}

/// The address space that `component` takes when all its executions within `limits` run.
pub(super) fn address_space_of(component: &Component, limits: &Limits) -> AddressSpace {
    InstanceNeeds::of(component, limits).address_space(limits)
}

/// The linear memories of one instance of `component`, within `limits`.
pub(super) fn memories_of(component: &Component, limits: &Limits) -> usize {
    InstanceNeeds::of(component, limits).memories
}

fn pool_config(limits: &Limits, needs: &InstanceNeeds) -> Result<Config, EngineError> {
    // One more than flights can use, so that a component can be loaded while all are busy.
    let executions = u32::try_from(limits.max_executions)
        .ok()
        .and_then(|executions| executions.checked_add(1))
        .ok_or(EngineError::TooManyExecutions(limits.max_executions))?;
    // A limit that exceeds the type exceeds any component, too.
    let clamped = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let (modules, memories, tables) = (
        clamped(limits.max_modules),
        clamped(limits.max_memories),
        clamped(limits.max_tables),
    );
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(executions)
        .total_stacks(executions)
        .total_core_instances(executions.saturating_mul(modules))
        .max_core_instances_per_component(modules)
        .total_memories(executions.saturating_mul(clamped(needs.memories)))
        .max_memories_per_component(memories)
        .total_tables(executions.saturating_mul(clamped(needs.tables)))
        .max_tables_per_component(tables)
        .table_elements(limits.max_table_elements)
        .max_memory_size(limits.max_memory_bytes);
    // A guest's pages are zeroed in place rather than returned and faulted in again. The kernel reports which
    // pages were touched. Without that report all resident pages would be zeroed, which takes longer than
    // returning them.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(resident_bytes(limits))
            .table_keep_resident(resident_bytes(limits) / 8);
    }
    let mut config = codegen_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}
