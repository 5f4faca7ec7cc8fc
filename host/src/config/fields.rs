//! The limits by the names that a file gives them, which are those of their fields: one list for whoever
//! reads or prints them.

use std::time::Duration;

use crate::model::Limits;
use crate::settings::ServerLimits;

/// One limit, to be read or set.
pub(super) enum Field<'a> {
    Time(&'a mut Duration),
    Bytes(&'a mut usize),
    Count(&'a mut usize),
}

/// Whether a limit may be zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// Nothing would work any more.
    Refused,
    Allowed,
}

/// Named limits.
pub(super) type Fields<'a> = Vec<(&'static str, Field<'a>, Zero)>;

impl Limits {
    pub(super) fn fields(&mut self) -> Fields<'_> {
        use Field::{Bytes, Count, Time};
        use Zero::{Allowed, Refused};
        vec![
            ("max_flights", Count(&mut self.max_flights), Refused),
            ("max_callers", Count(&mut self.max_callers), Refused),
            (
                "max_executions_per_key",
                Count(&mut self.max_executions_per_key),
                Refused,
            ),
            ("max_executions", Count(&mut self.max_executions), Refused),
            ("queue_timeout", Time(&mut self.queue_timeout), Allowed),
            ("flight_timeout", Time(&mut self.flight_timeout), Refused),
            ("max_cpu_time", Time(&mut self.max_cpu_time), Refused),
            (
                "max_memory_bytes",
                Bytes(&mut self.max_memory_bytes),
                Refused,
            ),
            ("max_modules", Count(&mut self.max_modules), Refused),
            ("max_memories", Count(&mut self.max_memories), Refused),
            ("max_tables", Count(&mut self.max_tables), Refused),
            (
                "max_table_elements",
                Count(&mut self.max_table_elements),
                Refused,
            ),
            ("max_resources", Count(&mut self.max_resources), Refused),
            ("max_handles", Count(&mut self.max_handles), Refused),
            (
                "max_random_bytes",
                Bytes(&mut self.max_random_bytes),
                Allowed,
            ),
            (
                "max_result_bytes",
                Bytes(&mut self.max_result_bytes),
                Refused,
            ),
            ("max_items", Count(&mut self.max_items), Allowed),
            ("max_key_bytes", Bytes(&mut self.max_key_bytes), Allowed),
            ("max_log_bytes", Bytes(&mut self.max_log_bytes), Allowed),
            ("connect_timeout", Time(&mut self.connect_timeout), Refused),
            (
                "first_byte_timeout",
                Time(&mut self.first_byte_timeout),
                Refused,
            ),
            (
                "between_bytes_timeout",
                Time(&mut self.between_bytes_timeout),
                Refused,
            ),
            ("request_timeout", Time(&mut self.request_timeout), Refused),
            ("max_requests", Count(&mut self.max_requests), Allowed),
            ("max_connections", Count(&mut self.max_connections), Refused),
            ("idle_timeout", Time(&mut self.idle_timeout), Allowed),
            (
                "max_header_bytes",
                Bytes(&mut self.max_header_bytes),
                Refused,
            ),
            ("max_body_bytes", Bytes(&mut self.max_body_bytes), Allowed),
        ]
    }
}

impl ServerLimits {
    pub(super) fn fields(&mut self) -> Fields<'_> {
        use Field::{Bytes, Count, Time};
        use Zero::{Allowed, Refused};
        vec![
            ("max_connections", Count(&mut self.max_connections), Refused),
            (
                "max_admin_connections",
                Count(&mut self.max_admin_connections),
                Refused,
            ),
            ("header_timeout", Time(&mut self.header_timeout), Refused),
            (
                "write_stall_timeout",
                Time(&mut self.write_stall_timeout),
                Refused,
            ),
            (
                "max_header_bytes",
                Bytes(&mut self.max_header_bytes),
                Refused,
            ),
            ("max_headers", Count(&mut self.max_headers), Refused),
            ("max_streams", Count(&mut self.max_streams), Refused),
            ("shutdown_delay", Time(&mut self.shutdown_delay), Allowed),
            ("shutdown_grace", Time(&mut self.shutdown_grace), Allowed),
            (
                "shutdown_write_timeout",
                Time(&mut self.shutdown_write_timeout),
                Allowed,
            ),
        ]
    }
}
