//! Progress messages while a task takes longer than a second.

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How progress is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressStyle {
    /// On one line of a terminal, which is rewritten each second and cleared at the end.
    Terminal,
    /// As lines of a log: after 1 s, after 10 s, and then each minute.
    Log,
}

/// Waits for `work`, and from the first second on writes to `out` how long it has taken. `task` describes the work.
pub(super) async fn with_progress<F: Future>(
    task: &str,
    work: F,
    style: ProgressStyle,
    mut out: impl Write,
) -> F::Output {
    /// Returns to the start of the line, and clears it.
    const CLEAR_LINE: &str = "\r\x1b[K";
    let mut work = pin!(work);
    let began = Instant::now();
    let mut seconds = 1;
    let output = loop {
        tokio::select! {
            // If both are ready, no more is written.
            biased;
            output = &mut work => break output,
            () = sleep_until(began + Duration::from_secs(seconds)) => {}
        }
        // An error of the output does not end the work.
        let _ = match style {
            ProgressStyle::Terminal => {
                write!(out, "{CLEAR_LINE}{task}: {seconds} s").and_then(|()| out.flush())
            }
            ProgressStyle::Log => writeln!(out, "{task}: {seconds} s"),
        };
        seconds = match (style, seconds) {
            (ProgressStyle::Terminal, seconds) => seconds + 1,
            (ProgressStyle::Log, 1) => 10,
            (ProgressStyle::Log, 10) => 60,
            (ProgressStyle::Log, seconds) => seconds + 60,
        };
    };
    if style == ProgressStyle::Terminal && seconds > 1 {
        let _ = write!(out, "{CLEAR_LINE}").and_then(|()| out.flush());
    }
    output
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{ProgressStyle, with_progress};

    async fn output_of(milliseconds: u64, style: ProgressStyle) -> String {
        let mut out = Vec::new();
        let work = sleep(Duration::from_millis(milliseconds));
        with_progress("compiling", work, style, &mut out).await;
        String::from_utf8(out).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_less_than_a_second_has_no_output() {
        assert_eq!(output_of(999, ProgressStyle::Terminal).await, "");
        assert_eq!(output_of(999, ProgressStyle::Log).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_has_one_line_that_is_cleared_at_the_end() {
        assert_eq!(
            output_of(2_500, ProgressStyle::Terminal).await,
            "\r\x1b[Kcompiling: 1 s\r\x1b[Kcompiling: 2 s\r\x1b[K"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_has_a_line_early_and_then_each_minute() {
        assert_eq!(
            output_of(125_000, ProgressStyle::Log).await,
            "compiling: 1 s\ncompiling: 10 s\ncompiling: 60 s\ncompiling: 120 s\n"
        );
    }
}
