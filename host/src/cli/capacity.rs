//! What the limits of all clients could take of the address space, and how much there is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use oneflight::ComponentClient;
use oneflight::component::AddressSpace;

use super::format::count;

/// What one client could take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    executions: usize,
    needed: AddressSpace,
    is_pooled: bool,
}

impl Demand {
    pub(super) fn of(client: &ComponentClient) -> Self {
        Self {
            executions: client.settings().limits.max_executions,
            needed: client.address_space(),
            is_pooled: client.is_pooled(),
        }
    }
}

/// What the loaded clients could take, by their names, and the warnings that were last logged about it.
#[derive(Debug, Default)]
pub(super) struct Demands(Mutex<(BTreeMap<String, Demand>, Vec<String>)>);

impl Demands {
    /// Replaces those of all clients but `kept`, and returns the warnings if they are others than the last ones.
    pub(super) fn replace<'a>(
        &self,
        loaded: impl IntoIterator<Item = (String, Demand)>,
        kept: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (demands, reported) = &mut *current;
        let kept = kept.into_iter();
        let kept = kept.filter_map(|name| Some((name.to_owned(), *demands.get(name)?)));
        *demands = kept.chain(loaded).collect();
        let warnings = warnings(demands.values().copied());
        if warnings == *reported {
            return Vec::new();
        }
        reported.clone_from(&warnings);
        warnings
    }
}

/// A warning for each resource of which all clients together could need more than there is.
pub(super) fn warnings(demands: impl IntoIterator<Item = Demand>) -> Vec<String> {
    let (mut executions, mut on_demand) = (0_usize, 0_u64);
    let mut needed = AddressSpace::default();
    for demand in demands {
        executions = executions.saturating_add(demand.executions);
        needed = needed + demand.needed;
        on_demand += u64::from(!demand.is_pooled);
    }
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
        let tebibytes = |bytes: u64| bytes.div_ceil(1 << 40);
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
