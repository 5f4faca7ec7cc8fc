//! Names that settings had before their first release. Each is refused with the new one in the message.

/// The old name and the new one.
const RENAMED: &[(&str, &str)] = &[
    ("age", "max_age"),
    ("anew", "allow_fresh"),
    ("between_bytes", "between_bytes_timeout"),
    ("body", "max_body_bytes"),
    ("callers", "max_callers"),
    ("calls", "max_calls"),
    ("connect", "connect_timeout"),
    ("connections", "max_connections"),
    ("cpu", "max_cpu_time"),
    ("elements", "max_table_elements"),
    ("executions", "max_executions"),
    ("executions_per_key", "max_executions_per_key"),
    ("first_byte", "first_byte_timeout"),
    ("flight", "flight_timeout"),
    ("flights", "max_flights"),
    ("grace", "shutdown_grace"),
    ("handles", "max_handles"),
    ("head", "max_header_bytes"),
    ("head_time", "header_timeout"),
    ("headers", "max_headers"),
    ("idle", "idle_timeout"),
    ("items", "max_items"),
    ("key", "max_key_bytes"),
    ("leave", "shutdown_delay"),
    ("log", "max_log_bytes"),
    ("memories", "max_memories"),
    ("memory", "max_memory_bytes"),
    ("modules", "max_modules"),
    ("operators", "max_admin_connections"),
    ("queue", "queue_timeout"),
    ("random", "max_random_bytes"),
    ("request", "request_timeout"),
    ("requests", "max_requests"),
    ("resources", "max_resources"),
    ("result", "max_result_bytes"),
    ("stall", "write_stall_timeout"),
    ("streams", "max_streams"),
    ("tables", "max_tables"),
    ("write", "shutdown_write_timeout"),
];

/// The name that is now used for `old` in a table with these names.
pub(super) fn renamed(old: &str, known: &[&str]) -> Option<&'static str> {
    let renamed = RENAMED.iter().find(|(name, _)| *name == old);
    let new = renamed.map(|(_, new)| *new);
    new.filter(|new| known.contains(new))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn each_old_name_is_refused_with_the_new_one() {
        for (old, new) in RENAMED {
            let tables = [
                "limits",
                "compile",
                "clients.a",
                "clients.a.instances",
                "clients.a.limits",
            ];
            let refusals = tables.map(|table| {
                let text = format!("[{table}]\n{old} = 1\n");
                let refused = Config::parse(Path::new("oneflight.toml"), &text).unwrap_err();
                (format!("write {table}.{new}"), refused.to_string())
            });
            let named = refusals
                .iter()
                .any(|(write, refused)| refused.ends_with(write));
            assert!(named, "{refusals:?}");
        }
    }
}
