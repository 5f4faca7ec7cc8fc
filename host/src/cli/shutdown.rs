//! The signals that shut a service down.

use tokio::signal::unix::{SignalKind, signal};

/// Ready on the first SIGINT or SIGTERM. The second one exits the process immediately.
pub(super) fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    };
    Ok(async move {
        next().await;
        tracing::info!("shutting down: open flights may land");
        tokio::spawn(async move {
            next().await;
            std::process::exit(130);
        });
    })
}
