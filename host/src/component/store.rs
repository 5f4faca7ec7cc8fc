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

    /// Whether more than half of its memory or of its host resources is in use. What it has released until now is no
    /// longer counted, also in the next flight.
    pub(super) fn is_half_full(&mut self) -> bool {
        self.measure_again();
        self.memory.is_half_full() || self.table.iter_mut().count() > self.limits.max_resources / 2
    }

    /// Measures what the host holds for the guest.
    pub(super) fn measure(&mut self) -> Result<(), MemoryExceeded> {
        let held = self.held();
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

    /// Measures what the host still holds for the guest: what it releases is not measured at once, so what was measured
    /// last is the most that it may hold. What it holds more is measured when the guest gives it.
    fn measure_again(&mut self) {
        let held = self.held();
        let _ = self.memory.set_host(held);
    }

    /// The bytes that the host holds for the guest.
    fn held(&mut self) -> usize {
        let open = self.hooks.context().open();
        let held = held_for(&mut self.table, open, &self.limits);
        // An upstream may announce any length.
        held.saturating_add(self.fetch.held())
    }

    /// Grows the guest's memory by `grow`, if there is room for it now.
    fn grow(
        &mut self,
        grow: impl Fn(&mut GuestMemory) -> Result<(), MemoryExceeded>,
    ) -> Result<(), MemoryExceeded> {
        grow(&mut self.memory).or_else(|_| {
            self.measure_again();
            grow(&mut self.memory)
        })
    }

    /// Whether the guest has memory left for its answer of `bytes`, which the host holds.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.memory.has_room(bytes) || {
            self.measure_again();
            self.memory.has_room(bytes)
        };
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
        let bytes = desired.saturating_sub(current);
        let grows = self.grow(|memory| memory.grow(bytes));
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
        let elements = desired.saturating_sub(current);
        let grows = self.grow(|memory| memory.grow_table(elements));
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
    use wasmtime::component::Resource;
    use wasmtime_wasi_http::FieldMap;
    use wasmtime_wasi_http::p2::bindings::http::types::HostFields as _;

    use super::*;
    use crate::component::codegen::codegen_config;

    // fault 133
    #[test]
    fn what_a_guest_has_released_is_room_for_its_memory_and_its_answer() {
        const FIELDS: usize = 30 << 10;
        let mut settings = Settings::new("test");
        settings.limits.max_memory_bytes = 4 * FIELDS;
        let total = Arc::new(TotalMemory::new(&settings.limits));
        let upstream = Arc::new(Upstream::new(&settings.policy, &settings.limits));
        let engine = Wasmtime::new(&codegen_config()).unwrap();
        let context = FlightContext::default();
        let mut store = new_store(&engine, &settings, &total, &upstream, &context).unwrap();
        let state = store.data_mut();
        let held = [(); 3].map(|()| hold(state, FIELDS));
        assert!(!state.memory_growing(0, 2 * FIELDS, None).unwrap());
        assert!(!state.has_room(2 * FIELDS) && state.is_half_full());
        for held in held {
            state.http().drop(held).unwrap();
        }
        assert!(state.memory_growing(0, 2 * FIELDS, None).unwrap());
        assert!(state.has_room(2 * FIELDS) && !state.has_room(2 * FIELDS + 1));
        assert!(!state.is_half_full());
        // The next flight of the instance begins without them, too.
        let held = hold(state, FIELDS);
        state.http().drop(held).unwrap();
        assert!(!state.is_half_full());
        state.set_context(&context);
        assert_eq!(
            (state.memory().host_peak(), state.memory().room()),
            (0, 2 * FIELDS)
        );
    }

    fn hold(state: &mut StoreState, bytes: usize) -> Resource<FieldMap> {
        let entries = vec![("name".to_owned(), vec![b'v'; bytes])];
        let held = state.http().from_list(entries).unwrap();
        state.measure().unwrap();
        held
    }

    #[test]
    fn a_memory_and_a_table_may_reach_their_maximum() {
        assert!(permits(Some(50), 50) && permits(None, usize::MAX));
        assert!(!permits(Some(50), 51));
    }
}
