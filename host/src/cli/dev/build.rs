//! [`run_build`]: the script that builds a client, with the processes that it starts.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// Runs the script to its end.
///
/// # Cancel safety
///
/// Dropping the future ends the script and all that it has started, compilers too, by SIGTERM.
pub(super) async fn run_build(script: &Path) -> io::Result<ExitStatus> {
    let mut process = Command::new(script)
        .stdin(Stdio::null())
        // Its processes are a group of their own, and can be ended together.
        .process_group(0)
        .spawn()?;
    let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut group = ProcessGroup(id);
    let ended = process.wait().await;
    // The script has been reaped, so that another process may have its number.
    group.0 = None;
    ended
}

/// A group of processes, by the number of its first one, which are ended when this is dropped.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // It may have ended.
            let _ = kill_process_group(id, Signal::TERM);
        }
    }
}
