//! What the limits of all clients could take of the address space, and how much there is.

use oneflight::ComponentClient;
use oneflight::component::AddressSpace;

use super::format::count;

/// A warning for each resource of which all clients together could need more than there is.
pub(super) fn warnings<'a>(clients: impl IntoIterator<Item = &'a ComponentClient>) -> Vec<String> {
    let (mut executions, mut on_demand) = (0_usize, 0_u64);
    let mut needed = AddressSpace::default();
    for client in clients {
        let limits = &client.settings().limits;
        executions = executions.saturating_add(limits.max_executions);
        needed = needed + client.address_space();
        on_demand += u64::from(!client.is_pooled());
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
