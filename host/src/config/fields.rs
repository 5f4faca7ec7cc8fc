//! The limits by the names that a file gives them, which are those of their fields: one list for whoever
//! reads or prints them.

use std::time::Duration;

use super::{FrontLimits, Limits};

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
            ("flights", Count(&mut self.flights), Refused),
            ("callers", Count(&mut self.callers), Refused),
            (
                "executions_per_key",
                Count(&mut self.executions_per_key),
                Refused,
            ),
            ("executions", Count(&mut self.executions), Refused),
            ("queue", Time(&mut self.queue), Allowed),
            ("flight", Time(&mut self.flight), Refused),
            ("cpu", Time(&mut self.cpu), Refused),
            ("memory", Bytes(&mut self.memory), Refused),
            ("modules", Count(&mut self.modules), Refused),
            ("memories", Count(&mut self.memories), Refused),
            ("tables", Count(&mut self.tables), Refused),
            ("elements", Count(&mut self.elements), Refused),
            ("resources", Count(&mut self.resources), Refused),
            ("handles", Count(&mut self.handles), Refused),
            ("random", Bytes(&mut self.random), Allowed),
            ("result", Bytes(&mut self.result), Refused),
            ("items", Count(&mut self.items), Allowed),
            ("key", Bytes(&mut self.key), Allowed),
            ("log", Bytes(&mut self.log), Allowed),
            ("connect", Time(&mut self.connect), Refused),
            ("first_byte", Time(&mut self.first_byte), Refused),
            ("between_bytes", Time(&mut self.between_bytes), Refused),
            ("request", Time(&mut self.request), Refused),
            ("requests", Count(&mut self.requests), Allowed),
            ("connections", Count(&mut self.connections), Refused),
            ("idle", Time(&mut self.idle), Allowed),
            ("head", Bytes(&mut self.head), Refused),
            ("body", Bytes(&mut self.body), Allowed),
        ]
    }
}

impl FrontLimits {
    pub(super) fn fields(&mut self) -> Fields<'_> {
        use Field::{Bytes, Count, Time};
        use Zero::{Allowed, Refused};
        vec![
            ("connections", Count(&mut self.connections), Refused),
            ("operators", Count(&mut self.operators), Refused),
            ("head_time", Time(&mut self.head_time), Refused),
            ("stall", Time(&mut self.stall), Refused),
            ("head", Bytes(&mut self.head), Refused),
            ("headers", Count(&mut self.headers), Refused),
            ("streams", Count(&mut self.streams), Refused),
            ("leave", Time(&mut self.leave), Allowed),
            ("grace", Time(&mut self.grace), Allowed),
            ("write", Time(&mut self.write), Allowed),
        ]
    }
}
