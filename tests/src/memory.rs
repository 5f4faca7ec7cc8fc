//! How much memory a process takes at its worst, as the system counts it.

use std::fs;

/// How far the memory that this process has resident rises above where it is now while `work` runs, in
/// bytes, however short that lasts. What else the process does counts as well: a test that asks is to be
/// [`alone`](crate::process::alone).
///
/// # Panics
///
/// Where the system does not tell.
pub async fn rise(work: impl Future<Output = ()>) -> usize {
    // Sets the peak to what is resident now: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").expect("a peak that can be reset");
    let before = status("VmRSS:");
    work.await;
    status("VmHWM:").saturating_sub(before)
}

/// Memory of the process `id`, or of `self`, that is there and not only promised, in bytes. Counted page by
/// page: the kernel's own figure lags behind by some for each thread.
///
/// # Panics
///
/// Where the system does not tell, or there is no such process.
#[must_use]
pub fn resident(id: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("a process");
    kilobytes(&text, "Rss:")
}

/// A size that the system tells of this process, in bytes.
fn status(name: &str) -> usize {
    kilobytes(
        &fs::read_to_string("/proc/self/status").expect("a status"),
        name,
    )
}

fn kilobytes(text: &str, name: &str) -> usize {
    let kilobytes = text.lines().find_map(|line| {
        let size = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
        size.parse::<usize>().ok()
    });
    kilobytes.expect("a size in kB") << 10
}
