//! [`Engine`]: what all clients of a process share of wasmtime: its configuration, the pool that
//! instances come from, the interfaces that guests find, and the ticker that interrupts them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::check::LoadError;
use super::compile::Compilation;
use super::store::Guest;
use crate::config::{COMPILERS, EPOCH_TICK, Limits, RESIDENT};

/// Compiles and runs guests. Cloning shares it; one is enough for a process.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    compilation: Arc<Compilation>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<Guest>,
    /// What the pool has room for.
    limits: Limits,
    room: Mutex<Room>,
    /// The one place in the pool beyond that: for the component that is being loaded.
    spare: Semaphore,
    /// One permit per compiler.
    compilers: Semaphore,
}

/// Executions of the pool that no client has a share of. The pool has twice as many as clients may
/// have, so that each can be reloaded while flights are under way on what it was.
///
/// Invariant: `left`, with one share of each line, comes to `limits.executions`; and so does `lent`, with
/// the other shares of each line. A client takes its share when it is loaded and gives it back when it
/// is dropped, so none finds the pool full.
struct Room {
    /// For clients.
    left: usize,
    /// For what takes the place of a client that is still there.
    lent: usize,
}

/// The executions that one client may have at once, until it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    executions: usize,
    /// How many shares there are of the client that was first loaded and those that came in its place,
    /// this one included. Changed by who holds the room.
    line: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut room = self.shared.room();
        if self.line.fetch_sub(1, Ordering::Relaxed) == 1 {
            room.left += self.executions;
        } else {
            room.lent += self.executions;
        }
    }
}

impl Share {
    /// The share of a client within `limits` that takes the place of this one's; as large as this.
    pub(super) fn succeeded(&self, limits: &Limits) -> Result<Self, LoadError> {
        self.shared.fits(limits)?;
        let executions = self.executions;
        if limits.executions > executions {
            return Err(no_executions(limits.executions, executions));
        }
        let mut room = self.shared.room();
        let lent = room.lent.checked_sub(executions);
        room.lent = lent.ok_or(no_executions(executions, room.lent))?;
        self.line.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            shared: Arc::clone(&self.shared),
            executions,
            line: Arc::clone(&self.line),
        })
    }
}

impl Shared {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one execution within `limits` has room in a place of the pool.
    fn fits(&self, limits: &Limits) -> Result<(), LoadError> {
        let room = &self.limits;
        let sizes = [
            ("bytes of memory", limits.memory, room.memory),
            ("core modules", limits.modules, room.modules),
            ("memories", limits.memories, room.memories),
            ("tables", limits.tables, room.tables),
            ("elements of a table", limits.elements, room.elements),
        ];
        for (what, asked, left) in sizes {
            if asked > left {
                return Err(LoadError::NoRoom { what, asked, left });
            }
        }
        Ok(())
    }
}

fn no_executions(asked: usize, left: usize) -> LoadError {
    let what = "executions at once";
    LoadError::NoRoom { what, asked, left }
}

impl Engine {
    /// An engine whose pool has room for `limits.executions` guests, each within `limits`. Each client
    /// has its own share of them, which is kept for it: with several, `limits.executions` is their sum.
    /// There is as much room again for [`ComponentClient::reload`](super::ComponentClient::reload).
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
                room: Mutex::new(Room {
                    left: limits.executions,
                    lent: limits.executions,
                }),
                spare: Semaphore::new(1),
                compilers: Semaphore::new(COMPILERS),
            }),
            compilation: Arc::default(),
        })
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
    pub(super) fn share(&self, limits: &Limits) -> Result<Share, LoadError> {
        self.shared.fits(limits)?;
        let executions = limits.executions;
        let mut room = self.shared.room();
        let left = room.left.checked_sub(executions);
        room.left = left.ok_or(no_executions(executions, room.left))?;
        Ok(Share {
            shared: Arc::clone(&self.shared),
            executions,
            line: Arc::new(AtomicUsize::new(1)),
        })
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

    pub(super) fn linker(&self) -> &Linker<Guest> {
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
    // Twice as many, for clients that are reloaded; and one more than flights can use, so that a
    // component can be loaded while all are busy.
    let executions = u32::try_from(limits.executions)
        .ok()
        .and_then(|executions| executions.checked_mul(2)?.checked_add(1))
        .context("the limit of executions must be below 2,147,483,648")?;
    // More of them than fit that type are more than there can be.
    let most = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let (modules, memories, tables) = (
        most(limits.modules),
        most(limits.memories),
        most(limits.tables),
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
        .table_elements(limits.elements)
        .max_memory_size(limits.memory);
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
