//! The demo's timeline and table as text: callers, guest calls and upstream requests over time.

use std::fmt::Write;

use super::recorder::{Lane, TimelineSpan};
use super::run::{DemoRun, Mode};
use crate::cli::format::count;

/// The width of the bars, in columns.
const WIDTH: usize = 56;

/// The width of the labels before them, in columns.
const LABEL_WIDTH: usize = 21;

/// The width of a whole line, in columns.
pub(super) const LINE_WIDTH: usize = 2 + LABEL_WIDTH + 1 + WIDTH;

/// Spans of a lane that get a bar each; with more, one line shows how many are open over time.
const MAX_BARS: usize = 4;

/// Whether the timeline has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// `text` in the colour of `lane`.
    fn apply(self, lane: Lane, text: &str) -> String {
        let colour = match lane {
            Lane::Caller => 36,
            Lane::GuestCall => 33,
            Lane::UpstreamRequest => 35,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// Draws the spans of a run with `callers`, on a scale of at least `min_length` milliseconds.
pub(super) fn draw(
    mode: Mode,
    callers: usize,
    spans: &[TimelineSpan],
    min_length: f64,
    style: Style,
) -> String {
    let caller = if callers == 2 { "fetcher" } else { "caller" };
    let end = spans.iter().map(|span| span.to).fold(min_length, f64::max);
    let mut text = format!("{}, {}\n", count(callers as u64, caller), mode.name());
    for (lane, name, line) in [
        (Lane::Caller, caller, '─'),
        (Lane::GuestCall, "guest call", '━'),
        (Lane::UpstreamRequest, "upstream request", '█'),
    ] {
        let spans: Vec<TimelineSpan> = spans
            .iter()
            .filter(|span| span.lane == lane)
            .copied()
            .collect();
        let mut row = |label: String, bar: &str| {
            let bar = style.apply(lane, bar);
            let _ = writeln!(text, "  {label:<LABEL_WIDTH$} {bar}");
        };
        if spans.len() <= MAX_BARS {
            for (nth, span) in spans.iter().enumerate() {
                row(format!("{name} {}", nth + 1), &bar(span, end, line));
            }
        } else {
            row(count(spans.len() as u64, name), &heights(&spans, end));
        }
    }
    let scale = format!("{end:.0} ms");
    let _ = writeln!(
        text,
        "  {:<LABEL_WIDTH$} 0{scale:>width$}",
        "",
        width = WIDTH - 1
    );
    text
}

fn column(at: f64, end: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a column: between 0 and WIDTH, by the clamp"
    )]
    let column = (at / end * WIDTH as f64).round().clamp(0.0, WIDTH as f64) as usize;
    column
}

fn bar(span: &TimelineSpan, end: f64, line: char) -> String {
    let from = column(span.from, end).min(WIDTH - 1);
    let length = column(span.to, end).saturating_sub(from).max(1);
    " ".repeat(from) + &line.to_string().repeat(length)
}

/// How many of `spans` are open in each column, relative to the column with the most.
fn heights(spans: &[TimelineSpan], end: f64) -> String {
    let mut open = [0_usize; WIDTH];
    for span in spans {
        let from = column(span.from, end).min(WIDTH - 1);
        let to = column(span.to, end).max(from + 1);
        open[from..to].iter_mut().for_each(|count| *count += 1);
    }
    let most = open.iter().copied().max().unwrap_or(1).max(1);
    open.iter()
        .map(|count| [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(count * 8).div_ceil(most)])
        .collect()
}

/// The counts and times of all runs.
pub(super) fn table(runs: &[DemoRun]) -> String {
    let mut table = format!(
        "{:<18} {:>8} {:>12} {:>18} {:>10}\n",
        "", "callers", "guest calls", "upstream requests", "time"
    );
    for DemoRun {
        mode,
        callers,
        guest_calls,
        upstream_requests,
        milliseconds,
        ..
    } in runs
    {
        let name = mode.name();
        let _ = writeln!(
            table,
            "{name:<18} {callers:>8} {guest_calls:>12} {upstream_requests:>18} {milliseconds:>7.0} ms"
        );
        if *mode == Mode::SingleFlight {
            table.push('\n');
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(lane: Lane, from: f64, to: f64) -> TimelineSpan {
        TimelineSpan { lane, from, to }
    }

    #[test]
    fn a_bar_begins_and_ends_where_its_span_does() {
        let half = bar(&span(Lane::Caller, 50.0, 100.0), 100.0, '─');
        assert_eq!(half, " ".repeat(WIDTH / 2) + &"─".repeat(WIDTH / 2));
        let instant = bar(&span(Lane::Caller, 100.0, 100.0), 100.0, '─');
        assert_eq!(instant.chars().count(), WIDTH);
    }

    #[test]
    fn only_the_coloured_style_has_colours() {
        let spans = [span(Lane::UpstreamRequest, 0.0, 50.0)];
        let drawn = |style| draw(Mode::SingleFlight, 2, &spans, 100.0, style);
        assert!(!drawn(Style::Plain).contains('\x1b'));
        let bar = "█".repeat(WIDTH / 2);
        let coloured = format!(
            "  {:<LABEL_WIDTH$} \x1b[35m{bar}\x1b[0m\n",
            "upstream request 1"
        );
        assert!(drawn(Style::Coloured).contains(&coloured));
        let plain = coloured.replace("\x1b[35m", "").replace("\x1b[0m", "");
        assert!(drawn(Style::Plain).contains(&plain));
    }

    #[test]
    fn heights_show_how_many_spans_are_open() {
        let spans = [
            span(Lane::Caller, 0.0, 100.0),
            span(Lane::Caller, 0.0, 50.0),
        ];
        assert_eq!(
            heights(&spans, 100.0),
            "█".repeat(WIDTH / 2) + &"▄".repeat(WIDTH / 2)
        );
    }
}
