//! What a person is shown while something takes longer than they expect.

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// On one line of a terminal, written anew each second, and gone in the end.
    Live,
    /// As lines of a log: after 1 s, after 10 s, and then each minute.
    Logged,
}

/// Waits for `work`, and from the first second on says on `out` how long it has taken; `what` says what
/// it does. Nothing is said of work that is done within a second.
pub(super) async fn with_progress<F: Future>(
    what: &str,
    work: F,
    shown: Shown,
    mut out: impl Write,
) -> F::Output {
    /// Back to the start of the line, and clears it.
    const ANEW: &str = "\r\x1b[K";
    let mut work = pin!(work);
    let began = Instant::now();
    let mut seconds = 1;
    let output = loop {
        tokio::select! {
            // Where both are ready, nothing more is said.
            biased;
            output = &mut work => break output,
            () = sleep_until(began + Duration::from_secs(seconds)) => {}
        }
        // Where nobody reads it, the work goes on.
        let _ = match shown {
            Shown::Live => write!(out, "{ANEW}{what}: {seconds} s").and_then(|()| out.flush()),
            Shown::Logged => writeln!(out, "{what}: {seconds} s"),
        };
        seconds = match (shown, seconds) {
            (Shown::Live, seconds) => seconds + 1,
            (Shown::Logged, 1) => 10,
            (Shown::Logged, 10) => 60,
            (Shown::Logged, seconds) => seconds + 60,
        };
    };
    if shown == Shown::Live && seconds > 1 {
        let _ = write!(out, "{ANEW}").and_then(|()| out.flush());
    }
    output
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{Shown, with_progress};

    async fn shown_of(milliseconds: u64, shown: Shown) -> String {
        let mut out = Vec::new();
        let work = sleep(Duration::from_millis(milliseconds));
        with_progress("compiling", work, shown, &mut out).await;
        String::from_utf8(out).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_less_than_a_second_is_not_spoken_of() {
        assert_eq!(shown_of(999, Shown::Live).await, "");
        assert_eq!(shown_of(999, Shown::Logged).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_has_one_line_that_is_gone_in_the_end() {
        assert_eq!(
            shown_of(2_500, Shown::Live).await,
            "\r\x1b[Kcompiling: 1 s\r\x1b[Kcompiling: 2 s\r\x1b[K"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_has_a_line_early_and_then_rarely() {
        assert_eq!(
            shown_of(125_000, Shown::Logged).await,
            "compiling: 1 s\ncompiling: 10 s\ncompiling: 60 s\ncompiling: 120 s\n"
        );
    }
}
