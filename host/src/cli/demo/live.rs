//! A picture that is drawn anew while what it shows goes on.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use tokio::time::interval;

/// Often enough to look like movement.
const FRAME: Duration = Duration::from_millis(50);

/// Waits for `work`, and draws `frame` on `out` all the while, each time over the one before. In the end
/// nothing of it is left.
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
        // Where nobody reads it, the work goes on.
        let _ = write!(out, "{}{frame}", over(lines)).and_then(|()| out.flush());
        lines = frame.lines().count();
    };
    let _ = write!(out, "{}", over(lines)).and_then(|()| out.flush());
    output
}

/// Back to the first of so many lines, and clears them.
fn over(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

/// Whether stdout is a terminal that shows lines of this width as one.
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
    async fn each_frame_is_drawn_over_the_one_before_and_in_the_end_nothing_is_left() {
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
    async fn of_what_is_done_at_once_nothing_is_drawn() {
        let mut out = Vec::new();
        live(async {}, || "1\n".to_owned(), &mut out).await;
        assert_eq!(out, b"");
    }
}
