//! What the process holds.

use std::time::Duration;

use crate::rest::Levels;
use oneflight_tests::memory::resident;
use oneflight_tests::{Subject, tasks};

/// The maximum age of idle instances and idle connections. All that is left of earlier flights is older after it.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(5);

/// What the process holds at a moment.
pub(crate) struct ProcessLevels {
    /// In bytes.
    resident: usize,
    flights: usize,
    callers: usize,
    running: usize,
    idle: usize,
    connections: usize,
    pub(crate) tasks: usize,
    descriptors: usize,
}

impl ProcessLevels {
    pub(crate) fn now(clients: &[Subject]) -> Self {
        let sum = |of: fn(&Subject) -> usize| clients.iter().map(of).sum();
        Self {
            resident: resident("self"),
            flights: sum(|subject| subject.client.control().flights()),
            callers: sum(|subject| subject.client.control().callers()),
            running: sum(|subject| subject.component.usage().running),
            idle: sum(|subject| subject.component.usage().idle),
            connections: sum(|subject| subject.component.usage().connections),
            tasks: tasks(),
            descriptors: descriptors(),
        }
    }
}

impl Levels for ProcessLevels {
    fn resident(&self) -> usize {
        self.resident
    }

    fn open(&self) -> usize {
        self.flights + self.callers + self.running + self.idle + self.connections
    }

    fn held(&self) -> Vec<usize> {
        vec![self.tasks, self.descriptors]
    }

    fn rows(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("resident memory, KiB", self.resident >> 10),
            ("flights", self.flights),
            ("callers", self.callers),
            ("guests running", self.running),
            ("instances kept", self.idle),
            ("connections", self.connections),
            ("tasks", self.tasks),
            ("descriptors", self.descriptors),
        ]
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}
