//! The runtime that callers run on.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// A multi-threaded runtime with this many workers.
///
/// # Errors
///
/// The threads cannot be started.
pub fn runtime(workers: usize) -> anyhow::Result<Runtime> {
    let builder = &mut Builder::new_multi_thread();
    let runtime = builder.worker_threads(workers).enable_time().build();
    runtime.context("start a runtime for the callers")
}
