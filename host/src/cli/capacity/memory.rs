//! [`MemoryPlan`]: what a configuration allows the process to take, part by part, and what there is.

use oneflight::ServerLimits;
use oneflight::component::MaxMemory;
use oneflight::config::CompileConfig;

use super::container::MemoryLimit;

/// What the process takes without clients and callers: its code, its threads, the queues of the log and of traces, and
/// what the allocator keeps.
const BASE: usize = 64 << 20;

/// What one connection of a caller takes beside the header section of a request: its task and its buffers.
const CONNECTION: usize = 8 << 10;

/// The most memory that the process may take, by what takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    parts: Vec<Part>,
    /// What the process that compiles may take in addition.
    compiler: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    bytes: usize,
    /// The setting that lowers it.
    setting: &'static str,
}

impl MemoryPlan {
    /// What `clients` and the callers within `limits` may take.
    pub(super) fn new(
        clients: impl IntoIterator<Item = MaxMemory>,
        limits: &ServerLimits,
        compile: &CompileConfig,
    ) -> Self {
        let sum = |sum: MaxMemory, client: MaxMemory| MaxMemory {
            instances: sum.instances.saturating_add(client.instances),
            kept_pages: sum.kept_pages.saturating_add(client.kept_pages),
            code: sum.code.saturating_add(client.code),
            flights: sum.flights.saturating_add(client.flights),
        };
        let clients = clients.into_iter().fold(MaxMemory::default(), sum);
        let connection = CONNECTION.saturating_add(limits.max_header_bytes.max(8 << 10));
        let connections = limits
            .max_connections
            .saturating_add(limits.max_admin_connections);
        let part = |name, bytes, setting| Part {
            name,
            bytes,
            setting,
        };
        let parts = vec![
            part("instances", clients.instances, "max_total_memory_bytes"),
            part("kept pages", clients.kept_pages, "max_executions"),
            part("flights", clients.flights, "max_flights"),
            part("compiled code", clients.code, ""),
            part(
                "connections",
                connections.saturating_mul(connection),
                "limits.max_connections",
            ),
            part(
                "unread answers",
                // The admin API has a budget of its own.
                limits
                    .max_unread_bytes
                    .saturating_add(limits.max_unread_bytes_per_connection),
                "limits.max_unread_bytes",
            ),
            part("program", BASE, ""),
        ];
        Self {
            parts,
            compiler: usize::try_from(compile.limits.max_memory_bytes).unwrap_or(usize::MAX),
        }
    }

    /// The sum of all parts, without the compiler.
    fn total(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.bytes);
        parts.fold(0, usize::saturating_add)
    }

    /// One line with the sum and its parts.
    pub(super) fn summary(&self) -> String {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| format!("{} {}", part.name, mebibytes(part.bytes)))
            .collect();
        format!(
            "memory: at most {}; {}; another process of up to {} compiles components, and is the first that the system \
             ends if memory runs out",
            mebibytes(self.total()),
            parts.join(", "),
            mebibytes(self.compiler)
        )
    }

    /// A warning if that is more than there is.
    pub(super) fn warning(&self, available: MemoryLimit) -> Option<String> {
        let total = self.total();
        let limit = usize::try_from(available.bytes).unwrap_or(usize::MAX);
        if total <= limit {
            return None;
        }
        let largest = self.parts.iter().filter(|part| !part.setting.is_empty());
        let largest = largest.max_by_key(|part| part.bytes)?;
        Some(format!(
            "expected at most {} of memory, the limit of {}, got settings that allow {}, most of it {} ({}); lower {}, or \
             raise that limit",
            mebibytes(limit),
            available.of,
            mebibytes(total),
            largest.name,
            mebibytes(largest.bytes),
            largest.setting
        ))
    }
}

/// `288 MiB`, rounded up.
fn mebibytes(bytes: usize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::super::container::Limited;
    use super::*;

    /// Four clients of the built-in component with the default limits.
    fn four_clients() -> MemoryPlan {
        let limits = oneflight::Limits::default();
        let client = MaxMemory {
            instances: limits.max_total_memory_bytes,
            kept_pages: 36 << 20,
            code: 1 << 20,
            flights: 16 << 20,
        };
        MemoryPlan::new(
            [client; 4],
            &ServerLimits::default(),
            &CompileConfig::default(),
        )
    }

    #[test]
    fn four_clients_with_the_default_limits_fit_into_two_gibibytes() {
        let plan = four_clients();
        let two_gibibytes = MemoryLimit {
            bytes: 2 << 30,
            of: Limited::Container,
        };
        assert_eq!(plan.warning(two_gibibytes), None, "{}", plan.summary());
    }

    #[test]
    fn a_warning_names_the_largest_part_and_what_lowers_it() {
        let plan = four_clients();
        let one_gibibyte = MemoryLimit {
            bytes: 1 << 30,
            of: Limited::Container,
        };
        let warning = plan.warning(one_gibibyte).unwrap();
        for part in [
            "expected at most 1024 MiB of memory, the limit of the container, got settings that allow ",
            "most of it instances (1152 MiB); lower max_total_memory_bytes",
        ] {
            assert!(warning.contains(part), "{warning}");
        }
    }
}
