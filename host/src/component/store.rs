//! [`StoreState`]: what an instance owns, from its first instruction to its last. Dropping the store ends
//! whatever the guest had under way.

use std::sync::Arc;

use http::HeaderName;
use tracing::{Instrument, Span};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use super::engine::Engine;
use super::output::{GuestOutput, Source};
use crate::flight_context::FlightContext;
use crate::model::Limit;
use crate::observability::metrics::ClientMetrics;
use crate::settings::Settings;
use crate::upstream::{self, Upstream};

/// The state of a store.
pub(super) struct StoreState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    size: SizeLimit,
    wire: HttpHooks,
    output: GuestOutput,
}

impl StoreState {
    /// Where it prints to.
    pub(super) fn output(&self) -> &GuestOutput {
        &self.output
    }

    /// From now on its requests are those of `context`'s flight, and so are the limits that it reaches.
    pub(super) fn answer_to(&mut self, context: &FlightContext) {
        self.wire.context = context.clone();
        self.size.untold = context.metrics().clone();
    }
}

/// A store for one instance, set up as `settings` say.
pub(super) fn new_store(
    engine: &Engine,
    settings: &Settings,
    upstream: &Arc<Upstream>,
    context: &FlightContext,
) -> Store<StoreState> {
    let limits = &settings.limits;
    let output = GuestOutput::new(limits.max_log_bytes, context.metrics());
    let mut wasi = WasiCtxBuilder::new();
    wasi.envs(&settings.env)
        .stdout(output.stream(Source::Stdout))
        .stderr(output.stream(Source::Stderr))
        .max_random_size(limits.max_random_bytes as u64)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.max_resources);
    let guest = StoreState {
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        table,
        size: SizeLimit {
            memory: limits.max_memory_bytes,
            elements: limits.max_table_elements,
            modules: limits.max_modules,
            memories: limits.max_memories,
            tables: limits.max_tables,
            untold: context.metrics().clone(),
        },
        wire: HttpHooks {
            upstream: Arc::clone(upstream),
            context: context.clone(),
        },
        output,
    };
    let mut store = Store::new(engine.wasmtime(), guest);
    store.limiter(|guest| &mut guest.size);
    store.set_hostcall_fuel(limits.max_result_bytes);
    store.set_max_component_handles(limits.max_handles);
    // Each tick the guest gives up its thread. What ends it is the future around it: the epoch
    // itself counts waiting for an upstream too, so trapping on it would blame the guest for that.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    store
}

/// Bounds what a store holds: linear memory, all its memories together, and of all else how many.
struct SizeLimit {
    /// Bytes that may still be added to memories.
    memory: usize,
    /// Elements of each table.
    elements: usize,
    modules: usize,
    memories: usize,
    tables: usize,
    /// Told when memory is refused, and taken then: a guest that asks on and on has reached one limit in
    /// its flight.
    untold: ClientMetrics,
}

impl ResourceLimiter for SizeLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let left = self.memory.checked_sub(desired.saturating_sub(current));
        match left {
            Some(left) => self.memory = left,
            None => std::mem::take(&mut self.untold).limit(Limit::Memory),
        }
        Ok(left.is_some())
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.elements)
    }

    fn instances(&self) -> usize {
        self.modules
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}

/// A guest's way out: every request goes through its client's [`Upstream`].
struct HttpHooks {
    upstream: Arc<Upstream>,
    context: FlightContext,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(upstream::is_forbidden_header)
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        upstream::is_forbidden_header(name)
    }

    fn set_host_header(&mut self) -> bool {
        // It is written with the URL that was checked, and not at all under HTTP/2.
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        // Open from here, not from when its task first runs: a guest may return before that, and its
        // instance would be taken for one that has nothing under way.
        let (upstream, open) = (Arc::clone(&self.upstream), self.context.begin());
        // It becomes a task of its own, which ends with the store; its log lines are the flight's.
        let sending = async move {
            let (response, expiry) = upstream.send(request, options, open).await?;
            let expiry = expiry.instrument(Span::current());
            let io: Io = Box::new(async {
                expiry.await;
                Ok(())
            });
            Ok((response, io))
        };
        Box::new(sending.in_current_span())
    }
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
            hooks: &mut self.wire,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(memory: usize) -> SizeLimit {
        SizeLimit {
            memory,
            elements: 10,
            modules: 1,
            memories: 2,
            tables: 1,
            untold: ClientMetrics::default(),
        }
    }

    #[test]
    fn memory_is_counted_over_all_memories_of_a_store() {
        let mut limit = limit_of(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(60, 100, None).unwrap());
        assert!(!limit.memory_growing(100, 101, None).unwrap());
    }

    #[test]
    fn memory_that_a_memory_cannot_have_is_not_counted() {
        let mut limit = limit_of(100);
        assert!(!limit.memory_growing(0, 60, Some(50)).unwrap());
        assert!(limit.memory_growing(0, 100, None).unwrap());
    }
}
