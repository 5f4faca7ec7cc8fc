//! What a configuration could take of memory and of the address space, and how much there is.

mod container;
mod memory;

use std::num::NonZero;
use std::ops::Add;
use std::thread::available_parallelism;

use oneflight::ComponentClient;
use oneflight::component::{AddressSpace, max_guest_threads};
use oneflight::config::Config;
use oneflight::upstream::MAX_LOOKUPS;

use self::container::MemoryLimit;
use self::memory::MemoryPlan;
use super::descriptors::Descriptors;
use super::format::count;

/// The maximum number of threads for work that blocks, such as reading files. Name lookups have threads of their own.
const MAX_BLOCKING_THREADS: usize = 64;

/// Threads beside those of the runtime: the ticker of guests, the log, and up to four of the allocator.
const OTHER_THREADS: usize = 6;

/// What a configuration could take at most, and what there is.
pub(super) struct Capacity {
    /// One line for each resource.
    pub(super) lines: Vec<String>,
    /// One for each resource of which it could need more than there is.
    pub(super) warnings: Vec<String>,
}

impl Capacity {
    /// What `clients`, which were loaded as `config` describes, and callers could take.
    pub(super) fn of(clients: &[ComponentClient], config: &Config) -> Self {
        let descriptors = Descriptors::of(config);
        let limits = descriptors.within(&config.limits);
        let needs = clients.iter().map(ComponentClient::max_memory);
        let memory = MemoryPlan::new(needs, &limits, &config.compile);
        let available = MemoryLimit::of_process();
        let (needed, threads) = (address_space(clients), threads(clients.len()));
        let AddressSpace { bytes, mappings } = AddressSpace::available();
        let lines = vec![
            memory.summary(),
            descriptors.summary(),
            format!(
                "address space: at most {} TiB of {}, and {} memory mappings of {mappings}",
                tebibytes(needed.bytes),
                tebibytes(bytes),
                needed.mappings
            ),
            format!("threads: at most {threads}"),
        ];
        let mut warnings = warnings(clients);
        warnings.extend(available.and_then(|available| memory.warning(available)));
        warnings.extend(descriptors.warning(&config.limits));
        Self { lines, warnings }
    }
}

/// The most threads of a service with `clients` clients.
fn threads(clients: usize) -> usize {
    let workers = available_parallelism().map_or(1, NonZero::get);
    workers + max_blocking_threads() + clients.saturating_mul(MAX_LOOKUPS) + OTHER_THREADS
}

/// The maximum number of threads of the runtime beside its workers: those for work that blocks, and those for guests
/// that compute for long.
pub(crate) fn max_blocking_threads() -> usize {
    MAX_BLOCKING_THREADS + max_guest_threads()
}

/// What all executions of `clients` take at once.
fn address_space(clients: &[ComponentClient]) -> AddressSpace {
    let needed = clients.iter().map(ComponentClient::address_space);
    needed.fold(AddressSpace::default(), Add::add)
}

fn tebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 40)
}

/// A warning for each resource of the address space of which all clients together could need more than there is.
fn warnings(clients: &[ComponentClient]) -> Vec<String> {
    let executions = clients
        .iter()
        .map(|client| client.settings().limits.max_executions);
    let executions = executions.fold(0, usize::saturating_add);
    let on_demand = clients.iter().filter(|client| !client.is_pooled()).count() as u64;
    let needed = address_space(clients);
    let mut warnings = Vec::new();
    if on_demand > 0 {
        warnings.push(format!(
            "the instances of {} are allocated on demand, about 20 µs slower for each flight: there is no address space \
             for more pools; lower max_executions of the clients, or raise vm.max_map_count",
            count(on_demand, "client")
        ));
    }
    let available = AddressSpace::available();
    if !needed.fits_in(available) {
        warnings.push(format!(
            "expected room for all {executions} executions of all clients at once, got less: they need {} TiB of \
             addresses and {} memory mappings, and there are {} TiB and {}; flights past that get 503; lower \
             max_executions of the clients, or raise vm.max_map_count",
            tebibytes(needed.bytes),
            needed.mappings,
            available.bytes >> 40,
            available.mappings
        ));
    }
    warnings
}
