//! Text on a terminal that is redrawn while work is running.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use tokio::time::interval;

/// Short enough to look like movement.
const FRAME: Duration = Duration::from_millis(50);

/// Waits for `work`, and draws `frame` on `out` meanwhile, each time in place of the previous frame. The last frame
/// is cleared.
pub(super) async fn live<F: Future>(
    work: F,
    mut frame: impl FnMut() -> String,
    mut out: impl Write,
) -> F::Output {
    let mut work = pin!(work);
    let mut frames = interval(FRAME);
    let mut lines = 0;
    let output = loop {
        tokio::select! {
            biased;
            output = &mut work => break output,
            _ = frames.tick() => {}
        }
        let frame = frame();
        // An error of the output does not end the work.
        let _ = write!(out, "{}{frame}", over(lines)).and_then(|()| out.flush());
        lines = frame.lines().count();
    };
    let _ = write!(out, "{}", over(lines)).and_then(|()| out.flush());
    output
}

/// Moves the cursor up by `lines` lines, and clears them.
fn over(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

/// Whether stdout is a terminal at least this wide, in columns.
pub(super) fn can_show(width: usize) -> bool {
    let stdout = std::io::stdout();
    let columns = rustix::termios::tcgetwinsize(&stdout).map(|size| usize::from(size.ws_col));
    stdout.is_terminal() && columns.is_ok_and(|columns| columns >= width)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_frame_is_drawn_over_the_previous_one_and_the_last_one_is_cleared() {
        let mut out = Vec::new();
        let mut number = 0;
        let frame = || {
            number += 1;
            format!("{number}\n-\n")
        };
        live(sleep(Duration::from_millis(60)), frame, &mut out).await;
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1\n-\n\x1b[2A\x1b[J2\n-\n\x1b[2A\x1b[J"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_ready_at_once_draws_nothing() {
        let mut out = Vec::new();
        live(async {}, || "1\n".to_owned(), &mut out).await;
        assert_eq!(out, b"");
    }
}
