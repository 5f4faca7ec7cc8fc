//! [`StoreState`]: the state that an instance owns. Dropping a store closes everything that its guest has open.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine as Wasmtime, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::fetch::FetchBuffers;
use super::host_memory::{MAX_FIELDS, held_for};
use super::http_hooks::HttpHooks;
use super::memory::{GuestMemory, MemoryExceeded, TotalMemory};
use super::output::{GuestOutput, StdStream};
use crate::flight_context::FlightContext;
use crate::model::{Limit, Limits};
use crate::settings::Settings;
use crate::upstream::Upstream;

/// The state of a store.
///
/// Invariant: `hooks` is declared before `table`. Fields are dropped in order, and the uploads must be cut before the
/// guest's ends of them are dropped: an upload whose guest is gone looks finished.
pub(super) struct StoreState {
    hooks: HttpHooks,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: GuestMemory,
    fetch: FetchBuffers,
    limits: Limits,
    output: GuestOutput,
}

impl StoreState {
    /// The guest's output.
    pub(super) fn output(&self) -> &GuestOutput {
        &self.output
    }

    /// Counts the guest's requests, and the limits that it reaches, for the flight of `context` from now on.
    pub(super) fn set_context(&mut self, context: &FlightContext) {
        self.hooks.set_context(context);
        self.memory.begin();
    }

    /// What the guest holds.
    pub(super) fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// Whether more than half of its memory or of its host resources is in use.
    pub(super) fn is_half_full(&mut self) -> bool {
        self.release_fetched();
        self.memory.is_half_full() || self.table.iter_mut().count() > self.limits.max_resources / 2
    }

    /// Measures what the host holds for the guest.
    pub(super) fn measure(&mut self) -> Result<(), MemoryExceeded> {
        let open = self.hooks.context().open();
        let held = held_for(&mut self.table, open, &self.limits);
        // An upstream may announce any length.
        let held = held.saturating_add(self.fetch.held());
        let set = self.memory.set_host(held);
        // The error ends the flight, and is logged then.
        set.inspect_err(|exceeded| {
            self.refuse(*exceeded);
        })
    }

    /// What sends the guest's requests.
    pub(super) fn hooks(&mut self) -> &mut HttpHooks {
        &mut self.hooks
    }

    /// What the host holds of the guest's `fetch` from now on.
    pub(super) fn set_fetch(&mut self, buffers: FetchBuffers) -> Result<(), MemoryExceeded> {
        self.fetch = buffers;
        self.measure()
    }

    /// Measures again once the guest has its copy of what it fetched, which the host no longer holds.
    fn release_fetched(&mut self) {
        if self.fetch.is_released() {
            self.fetch = FetchBuffers::default();
            // If that is too much, the next measurement says so, too.
            self.measure().ok();
        }
    }

    /// Whether the guest has memory left for its answer of `bytes`, which the host holds.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        self.release_fetched();
        let has_room = self.memory.has_room(bytes);
        if !has_room {
            self.refuse_and_log(MemoryExceeded::Execution);
        }
        has_room
    }

    /// Whether the guest's memory `grows`. The guest sees it if not.
    fn grown(&mut self, grows: Result<(), MemoryExceeded>) -> bool {
        grows
            .map_err(|exceeded| self.refuse_and_log(exceeded))
            .is_ok()
    }

    /// Counts the first refusal in a flight, and returns whether this is the first.
    fn refuse(&mut self, exceeded: MemoryExceeded) -> bool {
        let is_first = self.memory.refuse(exceeded);
        // A flight that the total ends is counted by its error.
        if is_first && exceeded == MemoryExceeded::Execution {
            self.hooks.context().metrics().limit(Limit::Memory);
        }
        is_first
    }

    /// The same, with a line in the log for the first: a guest may try again and again.
    fn refuse_and_log(&mut self, exceeded: MemoryExceeded) {
        if self.refuse(exceeded) {
            tracing::warn!("the guest got no more memory: {exceeded}");
        }
    }
}

/// A store for one instance, with the limits and the environment of `settings`. Its memory is part of `total`.
pub(super) fn new_store(
    engine: &Wasmtime,
    settings: &Settings,
    total: &Arc<TotalMemory>,
    upstream: &Arc<Upstream>,
    context: &FlightContext,
) -> Result<Store<StoreState>, MemoryExceeded> {
    let limits = &settings.limits;
    let memory = GuestMemory::new(limits, total)?;
    let output = GuestOutput::new(limits.max_log_bytes, context.metrics());
    let mut wasi = WasiCtxBuilder::new();
    wasi.envs(&settings.env)
        .stdout(output.stream(StdStream::Stdout))
        .stderr(output.stream(StdStream::Stderr))
        .max_random_size(limits.max_random_bytes as u64)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(MAX_FIELDS);
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.max_resources);
    let state = StoreState {
        wasi: wasi.build(),
        http,
        table,
        memory,
        limits: limits.clone(),
        fetch: FetchBuffers::default(),
        hooks: HttpHooks::new(upstream, context),
        output,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(limits.max_result_bytes);
    store.set_max_component_handles(limits.max_handles);
    // The guest yields its thread at each epoch tick. Its CPU budget is enforced by `CpuBudget` around it: epochs
    // also pass while the guest waits for an upstream, so a trap at an epoch would count that time against it.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    Ok(store)
}

/// Bounds what a store holds: the sum of its linear memories, the elements of each table, and the number of
/// everything else.
impl ResourceLimiter for StoreState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if !permits(maximum, desired) {
            return Ok(false);
        }
        self.release_fetched();
        let grows = self.memory.grow(desired.saturating_sub(current));
        Ok(self.grown(grows))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if !permits(Some(self.limits.max_table_elements), desired) || !permits(maximum, desired) {
            return Ok(false);
        }
        self.release_fetched();
        let grows = self.memory.grow_table(desired.saturating_sub(current));
        Ok(self.grown(grows))
    }

    fn instances(&self) -> usize {
        self.limits.max_modules
    }

    fn memories(&self) -> usize {
        self.limits.max_memories
    }

    fn tables(&self) -> usize {
        self.limits.max_tables
    }
}

/// Whether a memory or a table with this maximum may grow to `desired`.
fn permits(maximum: Option<usize>, desired: usize) -> bool {
    maximum.is_none_or(|maximum| desired <= maximum)
}

impl WasiView for StoreState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for StoreState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::permits;

    #[test]
    fn a_memory_and_a_table_may_reach_their_maximum() {
        assert!(permits(Some(50), 50) && permits(None, usize::MAX));
        assert!(!permits(Some(50), 51));
    }
}
