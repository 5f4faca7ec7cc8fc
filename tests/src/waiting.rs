//! Waiting for events, and limits that a test reaches or never reaches.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// The longest that a test waits for an event. It is no assertion: only a test that hangs reaches it, however
/// busy the machine is.
pub const FAILSAFE: Duration = Duration::from_secs(300);

/// A limit that a test runs into by [`fast_forward`]. In real time no test takes this long, so the limit never
/// passes before the test lets it; in paused time it passes before [`FAILSAFE`].
pub const LIMIT: Duration = Duration::from_secs(150);

/// Longer than any test takes: a limit that no test reaches.
pub const NEVER: Duration = Duration::from_secs(3_600);

/// Waits for `future`, at most for [`FAILSAFE`].
///
/// # Panics
///
/// When that time passes; `what` names what the test waited for.
pub async fn failsafe<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(FAILSAFE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {FAILSAFE:?} in vain for {what}"),
    }
}

/// Waits for `future` with the clock paused: whenever nothing else can run, the clock jumps to the next timer.
///
/// Begin only once all that must happen before the timer has happened. Data on its way through a socket does
/// not hold the clock up.
pub async fn fast_forward<F: Future>(future: F) -> F::Output {
    tokio::time::pause();
    let output = future.await;
    tokio::time::resume();
    output
}

/// A clock that moves only by [`StoppedClock::advance`], also while data is on its way through a socket. Dropping it
/// lets the clock run again.
#[derive(Debug)]
pub struct StoppedClock {
    /// While a thread that may block is in use, a paused clock does not jump to the next timer.
    _blocking: Sender<()>,
}

impl StoppedClock {
    /// Stops the clock.
    #[must_use]
    pub fn stop() -> Self {
        let (sender, receiver) = channel::<()>();
        tokio::task::spawn_blocking(move || {
            // After this time the clock jumps again, so that a test that waits in vain fails.
            let _ = receiver.recv_timeout(FAILSAFE);
        });
        tokio::time::pause();
        Self { _blocking: sender }
    }

    /// Lets this time pass.
    pub async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
