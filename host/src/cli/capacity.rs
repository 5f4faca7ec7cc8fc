//! What a configuration could take of memory, the address space and threads, and how much there is.

mod container;
mod memory;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Add;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use oneflight::component::{AddressSpace, MaxMemory, max_guest_threads};
use oneflight::config::CompileConfig;
use oneflight::upstream::MAX_LOOKUPS;
use oneflight::{ComponentClient, ServerLimits};

use self::container::MemoryLimit;
use self::memory::MemoryPlan;
use super::format::count;

/// The maximum number of threads for work that blocks, such as reading files. Name lookups have threads of their own.
const MAX_BLOCKING_THREADS: usize = 64;

/// Threads beside those of the runtime: the ticker of guests, the log, and up to four of the allocator.
const OTHER_THREADS: usize = 6;

/// What one client could take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    executions: usize,
    address_space: AddressSpace,
    memory: MaxMemory,
    is_pooled: bool,
}

impl Demand {
    pub(super) fn of(client: &ComponentClient) -> Self {
        Self {
            executions: client.settings().limits.max_executions,
            address_space: client.address_space(),
            memory: client.max_memory(),
            is_pooled: client.is_pooled(),
        }
    }
}

/// What the loaded clients could take, by their names, and what was last logged about it.
#[derive(Debug, Default)]
pub(super) struct Demands(Mutex<(BTreeMap<String, Demand>, Capacity)>);

impl Demands {
    /// Replaces those of all clients but `kept`, and returns what all of them could take, with callers within `limits` and
    /// compilers that `compile` describes, if that has changed.
    pub(super) fn replace<'a>(
        &self,
        loaded: impl IntoIterator<Item = (String, Demand)>,
        kept: impl IntoIterator<Item = &'a str>,
        limits: &ServerLimits,
        compile: &CompileConfig,
    ) -> Option<Capacity> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (demands, reported) = &mut *current;
        let kept = kept.into_iter();
        let kept = kept.filter_map(|name| Some((name.to_owned(), *demands.get(name)?)));
        *demands = kept.chain(loaded).collect();
        let all: Vec<_> = demands.values().copied().collect();
        let capacity = Capacity::of(&all, limits, compile);
        if capacity == *reported {
            return None;
        }
        reported.clone_from(&capacity);
        Some(capacity)
    }
}

/// What a configuration could take at most, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    /// One line for each resource.
    pub(super) lines: Vec<String>,
    /// One for each resource of which it could need more than there is.
    pub(super) warnings: Vec<String>,
}

impl Capacity {
    /// What clients with these `demands`, callers within `limits` and compilers that `compile` describes could take.
    pub(super) fn of(demands: &[Demand], limits: &ServerLimits, compile: &CompileConfig) -> Self {
        let needs = demands.iter().map(|demand| demand.memory);
        let memory = MemoryPlan::new(needs, limits, compile);
        let needed = address_space(demands);
        let AddressSpace { bytes, mappings } = AddressSpace::available();
        let lines = vec![
            memory.summary(),
            format!(
                "address space: at most {} TiB of {}, and {} memory mappings of {mappings}",
                tebibytes(needed.bytes),
                tebibytes(bytes),
                needed.mappings
            ),
            format!("threads: at most {}", threads(demands.len())),
        ];
        let mut warnings = warnings(demands);
        let available = MemoryLimit::of_process();
        warnings.extend(available.and_then(|available| memory.warning(available)));
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

/// What all executions take at once.
fn address_space(demands: &[Demand]) -> AddressSpace {
    let needed = demands.iter().map(|demand| demand.address_space);
    needed.fold(AddressSpace::default(), Add::add)
}

fn tebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 40)
}

/// A warning for each resource of the address space of which all clients together could need more than there is.
fn warnings(demands: &[Demand]) -> Vec<String> {
    let executions = demands.iter().map(|demand| demand.executions);
    let executions = executions.fold(0, usize::saturating_add);
    let on_demand = demands.iter().filter(|demand| !demand.is_pooled).count() as u64;
    let needed = address_space(demands);
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
