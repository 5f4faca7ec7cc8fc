//! [`StoreState`]: the state that an instance owns, and the imports that it is linked to. Dropping a store closes
//! everything that its guest has open.

use std::sync::Arc;

use http::HeaderName;
use tracing::{Instrument, Span};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine as Wasmtime, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use super::output::{GuestOutput, StdStream};
use crate::flight_context::FlightContext;
use crate::model::Limit;
use crate::observability::metrics::ClientMetrics;
use crate::settings::Settings;
use crate::upstream::{self, RequestBody, Uploads, Upstream};

/// The maximum size of one part of a request body, in bytes: 64 KiB. The host holds up to two for each open body.
const UPLOAD_CHUNK: usize = 64 << 10;

/// The state of a store.
///
/// Invariant: `hooks` is declared before `table`. Fields are dropped in order, and the uploads must be cut before the
/// guest's ends of them are dropped: an upload whose guest is gone looks finished.
pub(super) struct StoreState {
    hooks: HttpHooks,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    size: SizeLimiter,
    output: GuestOutput,
}

impl StoreState {
    /// The guest's output.
    pub(super) fn output(&self) -> &GuestOutput {
        &self.output
    }

    /// Counts the guest's requests, and the limits that it reaches, for the flight of `context` from now on.
    pub(super) fn set_context(&mut self, context: &FlightContext) {
        self.hooks.context = context.clone();
        self.size.refusals = Some(context.metrics().clone());
    }
}

/// The imports that the host provides: WASI 0.2 with wasi:http.
///
/// WASI is linked completely, since nearly every guest's toolchain imports all of it. The interfaces that would
/// reach outside (files, sockets, arguments, standard input) are empty.
pub(super) fn linker(engine: &Wasmtime) -> Linker<StoreState> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
        .expect("no name is defined twice");
    linker
}

/// A store for one instance, with the limits and the environment of `settings`.
pub(super) fn new_store(
    engine: &Wasmtime,
    settings: &Settings,
    upstream: &Arc<Upstream>,
    context: &FlightContext,
) -> Store<StoreState> {
    let limits = &settings.limits;
    let output = GuestOutput::new(limits.max_log_bytes, context.metrics());
    let mut wasi = WasiCtxBuilder::new();
    wasi.envs(&settings.env)
        .stdout(output.stream(StdStream::Stdout))
        .stderr(output.stream(StdStream::Stderr))
        .max_random_size(limits.max_random_bytes as u64)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.max_resources);
    let state = StoreState {
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        table,
        size: SizeLimiter {
            memory: limits.max_memory_bytes,
            elements: limits.max_table_elements,
            modules: limits.max_modules,
            memories: limits.max_memories,
            tables: limits.max_tables,
            refusals: Some(context.metrics().clone()),
        },
        hooks: HttpHooks {
            upstream: Arc::clone(upstream),
            context: context.clone(),
            uploads: Uploads::default(),
        },
        output,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.size);
    store.set_hostcall_fuel(limits.max_result_bytes);
    store.set_max_component_handles(limits.max_handles);
    // The guest yields its thread at each epoch tick. Its CPU budget is enforced by `CpuBudget` around it: epochs
    // also pass while the guest waits for an upstream, so a trap at an epoch would count that time against it.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    store
}

/// Bounds what a store holds: the sum of its linear memories, the elements of each table, and the number of
/// everything else.
struct SizeLimiter {
    /// Bytes that may still be added to memories.
    memory: usize,
    /// Elements of each table.
    elements: usize,
    modules: usize,
    memories: usize,
    tables: usize,
    /// Counts the first refusal of memory in a flight; `None` after it.
    refusals: Option<ClientMetrics>,
}

impl SizeLimiter {
    /// Logs and counts the first refusal in a flight.
    fn refuse_memory(&mut self) {
        if let Some(metrics) = self.refusals.take() {
            metrics.limit(Limit::Memory);
            tracing::warn!("the guest got no more memory; raise max_memory_bytes if it needs more");
        }
    }
}

impl ResourceLimiter for SizeLimiter {
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
            None => self.refuse_memory(),
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

/// Sends a guest's requests: every one goes through its client's [`Upstream`].
struct HttpHooks {
    upstream: Arc<Upstream>,
    context: FlightContext,
    uploads: Uploads,
}

/// The future that drives the rest of a response.
type ResponseDriver = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(upstream::is_forbidden_header)
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        upstream::is_forbidden_header(name)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        UPLOAD_CHUNK
    }

    fn set_host_header(&mut self) -> bool {
        // The upstream sets it, from the URL that the policy has checked.
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: ResponseDriver,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, ResponseDriver), Error>> + Send>
    {
        // The request counts as open from here, and not only from the first poll of its task: a guest may return
        // before that poll, and its instance would be reused with a request in flight.
        let (upstream, guard) = (Arc::clone(&self.upstream), self.context.begin());
        let request = request.map(|body| RequestBody::new(body, &mut self.uploads));
        // Wasmtime spawns it as a task that ends with the store. Its log lines belong to the flight.
        let sending = async move {
            let (response, expiry) = upstream.send(request, options, guard).await?;
            let expiry = expiry.instrument(Span::current());
            let driver: ResponseDriver = Box::new(async {
                expiry.await;
                Ok(())
            });
            Ok((response, driver))
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
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter_of(memory: usize) -> SizeLimiter {
        SizeLimiter {
            memory,
            elements: 10,
            modules: 1,
            memories: 2,
            tables: 1,
            refusals: Some(ClientMetrics::default()),
        }
    }

    #[test]
    fn memory_is_counted_over_all_memories_of_a_store() {
        let mut limiter = limiter_of(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 101, None).unwrap());
    }

    #[test]
    fn growth_past_a_memorys_own_maximum_is_not_counted() {
        let mut limiter = limiter_of(100);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(limiter.memory_growing(0, 50, Some(50)).unwrap());
        assert!(limiter.memory_growing(50, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 101, None).unwrap());
    }
}
