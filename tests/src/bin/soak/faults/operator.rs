//! An operator who reloads the service all the time, every second time with a file that is not valid.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use oneflight_tests::process::signal;

use super::world::World;

/// Has the process id of the service and the path and content of its file.
pub(super) struct Operator {
    service: u32,
    path: String,
    content: String,
    reloads: AtomicU64,
}

impl Operator {
    pub(super) fn new(world: &World, service: u32) -> Self {
        Self {
            service,
            path: world.file().to_owned(),
            content: fs::read_to_string(world.file()).expect("the file of the service"),
            reloads: AtomicU64::new(0),
        }
    }

    /// Reloads the service. A client's limit differs each time, so the client is loaded again.
    pub(super) fn reload(&self) {
        let number = self.reloads.fetch_add(1, Ordering::Relaxed);
        let content = match number % 2 {
            0 => format!("{}\nlimits.max_items = {}\n", self.content, 1_000 + number),
            _ => format!("{}\nno_such_setting = 1\n", self.content),
        };
        self.write(&content);
    }

    /// Reloads the file that the service was started with.
    pub(super) fn restore(&self) {
        self.write(&self.content);
    }

    fn write(&self, content: &str) {
        fs::write(&self.path, content).expect("a written file");
        signal(self.service, "-HUP");
    }
}
