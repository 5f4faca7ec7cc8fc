//! Memory of a process, as the system counts it.

use std::fs;

/// By how much the peak of this process's resident memory during `work` exceeds its resident memory now, in
/// bytes. Everything that the process does counts, so a test that calls this has to be
/// [`alone`](crate::process::alone).
///
/// # Panics
///
/// When the system does not report it.
pub async fn rise(work: impl Future<Output = ()>) -> usize {
    // Resets the peak to what is resident now: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").expect("a peak that can be reset");
    let before = status("VmRSS:");
    work.await;
    status("VmHWM:").saturating_sub(before)
}

/// Resident memory of the process `id`, or of `self`, in bytes. Counted page by page: the counter in `status`
/// lags behind by some pages for each thread.
///
/// # Panics
///
/// When the system does not report it, or there is no such process.
#[must_use]
pub fn resident(id: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("a process");
    kilobytes(&text, "Rss:")
}

/// A size in the status of this process, in bytes.
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
