//! What the process holds.

use std::time::Duration;

use oneflight_tests::memory::resident;
use oneflight_tests::{Subject, tasks};
use tokio::time::{Instant, sleep};

/// The maximum age of idle instances and idle connections. All that is left of earlier flights is older after it.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(5);

/// What the process holds at a moment.
#[derive(Clone, Copy)]
pub(crate) struct Levels {
    /// In bytes.
    pub(crate) resident: usize,
    flights: usize,
    callers: usize,
    running: usize,
    idle: usize,
    connections: usize,
    pub(crate) tasks: usize,
    descriptors: usize,
}

impl Levels {
    /// The levels once no flight is open and all that is kept has reached its age; or, if that does not happen,
    /// the levels long after it should have.
    pub(crate) async fn at_rest(clients: &[Subject]) -> Self {
        let began = Instant::now();
        loop {
            let levels = Self::now(clients);
            if levels.open() == 0 || began.elapsed() > MAX_IDLE_AGE * 4 {
                // A task closes what was dropped last.
                sleep(Duration::from_secs(1)).await;
                return Self::now(clients);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn now(clients: &[Subject]) -> Self {
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

    /// The sum of what is 0 at rest.
    pub(crate) fn open(&self) -> usize {
        self.flights + self.callers + self.running + self.idle + self.connections
    }

    fn rows(&self) -> [(&'static str, usize); 8] {
        [
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

    /// What has to return to its value from before.
    pub(crate) fn held(&self) -> [usize; 2] {
        [self.tasks, self.descriptors]
    }
}

/// One row for each level.
pub(crate) fn table(before: Levels, after: Levels) -> String {
    let rows = before.rows().into_iter().zip(after.rows());
    rows_at_rest(rows.map(|((name, before), (_, after))| (name, before, after)))
}

/// A table of levels, each with its value after the warm-up and at the end.
pub(crate) fn rows_at_rest(rows: impl Iterator<Item = (&'static str, usize, usize)>) -> String {
    let mut table = format!("{:<24}{:>14}{:>14}\n", "at rest", "warmed up", "at the end");
    for (name, before, after) in rows {
        table += &format!("  {name:<22}{before:>14}{after:>14}\n");
    }
    table
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}
