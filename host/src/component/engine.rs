//! [`Engine`]: what all clients of a process share of wasmtime: its configuration, the pool of instances,
//! the compiler, and the ticker that interrupts guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::codegen::codegen_config;
use super::compile::{Compilation, Compiler};
use super::error::{EngineError, LoadError};
use crate::model::Limits;

/// How often running guests yield to others: 10 ms. It belongs to the engine, so one value serves all clients.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// How much of a guest's memory or table stays resident for the next guest in its slot: 2 MiB. Guests of the
/// usual size touch less, so none of their pages are returned and faulted in again.
const MAX_RESIDENT_BYTES: usize = 2 << 20;

/// Compiles and runs guests. Cloning shares it; one is enough for a process.
#[derive(Clone)]
pub struct Engine {
    slots: Arc<Slots>,
    compiler: Compiler,
}

/// Wasmtime's engine, and which slots of its pool are reserved.
struct Slots {
    wasmtime: wasmtime::Engine,
    /// The sizes of the pool.
    limits: Limits,
    /// Executions that are not part of any client's quota.
    ///
    /// Invariant: together with the quotas of all clients this is `limits.max_executions`. A client takes its
    /// quota when it is loaded and returns it when it is dropped, so no client finds the pool full.
    available: AtomicUsize,
    /// The one slot beyond those, for the component that is being loaded.
    load_slot: Semaphore,
}

/// The quota of concurrent executions of one client. Dropping it returns them to the engine.
pub(super) struct ExecutionQuota {
    slots: Arc<Slots>,
    executions: usize,
}

impl Drop for ExecutionQuota {
    fn drop(&mut self) {
        self.slots
            .available
            .fetch_add(self.executions, Ordering::AcqRel);
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
        let wasmtime = wasmtime::Engine::new(&configuration(limits)?)
            .map_err(|error| EngineError::AddressSpace(format!("{error:#}")))?;
        start_ticker(wasmtime.weak())?;
        Ok(Self {
            slots: Arc::new(Slots {
                wasmtime,
                limits: limits.clone(),
                available: AtomicUsize::new(limits.max_executions),
                load_slot: Semaphore::new(1),
            }),
            compiler: Compiler::default(),
        })
    }

    /// An engine with a pool for all clients that have these limits.
    ///
    /// # Errors
    ///
    /// As of [`Engine::new`].
    pub fn for_clients<'a>(all: impl IntoIterator<Item = &'a Limits>) -> Result<Self, EngineError> {
        let none = Limits {
            max_executions: 0,
            ..Limits::default()
        };
        let sum = all.into_iter().fold(none, |sum, limits| Limits {
            max_executions: sum.max_executions.saturating_add(limits.max_executions),
            max_memory_bytes: sum.max_memory_bytes.max(limits.max_memory_bytes),
            max_modules: sum.max_modules.max(limits.max_modules),
            max_memories: sum.max_memories.max(limits.max_memories),
            max_tables: sum.max_tables.max(limits.max_tables),
            max_table_elements: sum.max_table_elements.max(limits.max_table_elements),
            ..sum
        });
        Self::new(&sum)
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

    /// The number of instances now: running, idle, and being loaded.
    #[must_use]
    pub fn instances(&self) -> u64 {
        let pool = self.slots.wasmtime.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }

    /// Reserves the executions of a client with `limits`, if that many are available.
    pub(super) fn reserve(&self, limits: &Limits) -> Result<ExecutionQuota, LoadError> {
        let pool = &self.slots.limits;
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
        let executions = limits.max_executions;
        let available = &self.slots.available;
        available
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |available| {
                available.checked_sub(executions)
            })
            .map_err(|available| no_room("concurrent executions", executions, available))?;
        let slots = Arc::clone(&self.slots);
        Ok(ExecutionQuota { slots, executions })
    }

    /// Waits for the slot for a component that is being loaded, and holds it until the guard is dropped.
    pub(super) async fn load_slot(&self) -> impl Drop + use<'_> {
        let permit = self.slots.load_slot.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.slots.wasmtime
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

fn configuration(limits: &Limits) -> Result<Config, EngineError> {
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
        .total_memories(executions.saturating_mul(memories))
        .max_memories_per_component(memories)
        .total_tables(executions.saturating_mul(tables))
        .max_tables_per_component(tables)
        .table_elements(limits.max_table_elements)
        .max_memory_size(limits.max_memory_bytes);
    // A guest's pages are zeroed in place rather than returned and faulted in again. The kernel reports which
    // pages were touched. Without that report all resident pages would be zeroed, which takes longer than
    // returning them.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(MAX_RESIDENT_BYTES)
            .table_keep_resident(MAX_RESIDENT_BYTES);
    }
    let mut config = codegen_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

/// Increments the engine's epoch every tick while the engine lives. Without it a guest in an endless loop would hold
/// its thread forever, and no deadline could interrupt it.
///
/// It is a thread and not a task: when every thread of the runtime runs such a guest, none is left to run the
/// task that would interrupt them.
fn start_ticker(engine: EngineWeak) -> Result<(), EngineError> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH_TICK);
        }
    };
    thread::Builder::new()
        .name("oneflight-epoch".into())
        .spawn(tick)
        .map_err(|error| EngineError::Ticker(error.to_string()))?;
    Ok(())
}
