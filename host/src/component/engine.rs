//! [`Engine`]: what all clients of a process share of wasmtime: its configuration, the pool that
//! instances come from, the interfaces that guests find, and the ticker that interrupts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::check::LoadError;
use super::compile::Compilation;
use super::store::StoreState;
use crate::model::Limits;

/// How often running guests yield, so that others get a turn: 10 ms. It belongs to the engine, so one value serves
/// all clients.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// How much of a guest's memory or table stays resident for the next guest in its slot: 2 MiB. Guests of the
/// usual size touch less, so none of their pages are returned and faulted in again.
const RESIDENT: usize = 2 << 20;

/// Components that an engine compiles at once: 2. Each may use its whole memory limit and all processors, so more
/// would gain nothing; the second keeps one slow component from delaying all others.
const COMPILERS: usize = 2;

/// Compiles and runs guests. Cloning shares it; one is enough for a process.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    compilation: Arc<Compilation>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<StoreState>,
    /// What the pool has room for.
    limits: Limits,
    /// Executions of the pool that no client has a share of.
    ///
    /// Invariant: with the shares of all clients they are `limits.executions`. A client takes its share
    /// when it is loaded and gives it back when it is dropped, so none finds the pool full.
    left: AtomicUsize,
    /// The one place in the pool beyond those: for the component that is being loaded.
    spare: Semaphore,
    /// One permit per compiler.
    compilers: Semaphore,
}

/// The executions that one client may have at once, until it is dropped.
pub(super) struct ExecutionQuota {
    shared: Arc<Shared>,
    executions: usize,
}

impl Drop for ExecutionQuota {
    fn drop(&mut self) {
        self.shared
            .left
            .fetch_add(self.executions, Ordering::AcqRel);
    }
}

impl Engine {
    /// An engine whose pool has room for `limits.executions` guests, each within `limits`. Each client
    /// has its own share of them, which is kept for it: with several, `limits.executions` is their sum.
    /// It compiles in this process, until [`Engine::compiling`] says otherwise.
    ///
    /// # Errors
    ///
    /// When this machine cannot reserve the address space, or start a thread.
    pub fn new(limits: &Limits) -> anyhow::Result<Self> {
        let wasmtime = wasmtime::Engine::new(&configuration(limits)?)
            .map_err(anyhow::Error::from)
            .context("could not reserve address space for guests; lower the limit of executions")?;
        let mut linker = Linker::new(&wasmtime);
        // What a guest's toolchain links is offered whole, since nearly every guest imports it; its
        // parts that lead outside (files, sockets, arguments, standard input) are given nothing.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        start_ticker(wasmtime.weak())?;
        Ok(Self {
            shared: Arc::new(Shared {
                wasmtime,
                linker,
                limits: limits.clone(),
                left: AtomicUsize::new(limits.max_executions),
                spare: Semaphore::new(1),
                compilers: Semaphore::new(COMPILERS),
            }),
            compilation: Arc::default(),
        })
    }

    /// An engine with room for all clients that have these limits.
    ///
    /// # Errors
    ///
    /// As of [`Engine::new`].
    pub fn for_clients<'a>(all: impl IntoIterator<Item = &'a Limits>) -> anyhow::Result<Self> {
        let none = Limits {
            max_executions: 0,
            ..Limits::default()
        };
        let room = all.into_iter().fold(none, |room, limits| Limits {
            max_executions: room.max_executions.saturating_add(limits.max_executions),
            max_memory_bytes: room.max_memory_bytes.max(limits.max_memory_bytes),
            max_modules: room.max_modules.max(limits.max_modules),
            max_memories: room.max_memories.max(limits.max_memories),
            max_tables: room.max_tables.max(limits.max_tables),
            max_table_elements: room.max_table_elements.max(limits.max_table_elements),
            ..room
        });
        Self::new(&room)
    }

    /// The same engine, which compiles as `compilation` says what it loads from now on. Clones that
    /// were made before go on as they were.
    #[must_use]
    pub fn compiling(self, compilation: Compilation) -> Self {
        Self {
            compilation: Arc::new(compilation),
            ..self
        }
    }

    /// Instances that there are now: that run, that wait for their next flight, and that are loaded.
    #[must_use]
    pub fn instances(&self) -> u64 {
        let pool = self.shared.wasmtime.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }

    /// The share of a client within `limits`, if there is room for it.
    pub(super) fn share(&self, limits: &Limits) -> Result<ExecutionQuota, LoadError> {
        let room = &self.shared.limits;
        let sizes = [
            (
                "bytes of memory",
                limits.max_memory_bytes,
                room.max_memory_bytes,
            ),
            ("core modules", limits.max_modules, room.max_modules),
            ("memories", limits.max_memories, room.max_memories),
            ("tables", limits.max_tables, room.max_tables),
            (
                "elements of a table",
                limits.max_table_elements,
                room.max_table_elements,
            ),
        ];
        let no_room = |what, asked, left| LoadError::NoRoom { what, asked, left };
        for (what, asked, left) in sizes {
            if asked > left {
                return Err(no_room(what, asked, left));
            }
        }
        let executions = limits.max_executions;
        let left = &self.shared.left;
        left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            left.checked_sub(executions)
        })
        .map_err(|left| no_room("executions at once", executions, left))?;
        let shared = Arc::clone(&self.shared);
        Ok(ExecutionQuota { shared, executions })
    }

    /// The place for a component that is being loaded, when it is free.
    pub(super) async fn spare(&self) -> impl Drop + use<'_> {
        let permit = self.shared.spare.acquire().await;
        permit.expect("it is never closed")
    }

    /// Leave to compile, until it is dropped, when it is this one's turn.
    pub(super) async fn compiler(&self) -> impl Drop + use<'_> {
        let permit = self.shared.compilers.acquire().await;
        permit.expect("it is never closed")
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    pub(super) fn linker(&self) -> &Linker<StoreState> {
        &self.shared.linker
    }

    pub(super) fn compilation(&self) -> &Arc<Compilation> {
        &self.compilation
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn configuration(limits: &Limits) -> anyhow::Result<Config> {
    // One more than flights can use, so that a component can be loaded while all are busy.
    let executions = u32::try_from(limits.max_executions)
        .ok()
        .and_then(|executions| executions.checked_add(1))
        .context("the limit of executions must be below 4,294,967,295")?;
    // More of them than fit that type are more than there can be.
    let most = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let (modules, memories, tables) = (
        most(limits.max_modules),
        most(limits.max_memories),
        most(limits.max_tables),
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
    // A guest's pages are cleared by writing to them, rather than given back and faulted in again by
    // the next. Which ones the kernel has to tell: without that all that may be kept is written to,
    // touched or not, and that takes longer than giving it back.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(RESIDENT)
            .table_keep_resident(RESIDENT);
    }
    let mut config = code();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

/// All of the configuration that code depends on, so that what another process compiles with it runs
/// here.
pub(super) fn code() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Guests of WASI 0.2 export plain functions, and calling those is four times as cheap so.
        .concurrency_support(false)
        // What guests do not need is not theirs to attack with. Several memories they do need:
        // wasmtime's own adapters between the components of a component use two.
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false);
    config
}

/// Advances the engine's epoch each tick, for as long as the engine lives. Without it a guest that
/// spins would hold its thread for ever, and no deadline could reach it.
///
/// A thread of its own, not a task: when every thread of the runtime runs a guest that spins, none
/// is left to run the task that would interrupt them.
fn start_ticker(engine: EngineWeak) -> anyhow::Result<()> {
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
        .context("could not start the thread that interrupts guests")?;
    Ok(())
}
