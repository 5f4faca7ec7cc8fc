//! The demo's picture and figures, as text: callers, guest calls and upstream requests over time.

use std::fmt::Write;

use super::recorder::{Lane, Span};
use super::{Run, Way};
use crate::cli::count;

/// The picture's width, in columns.
const WIDTH: usize = 56;

/// The width of what stands before it, in columns.
const LABEL: usize = 21;

/// What fits as a bar of its own; more of a lane is drawn as how many there are at a time.
const BARS: usize = 4;

/// Who asked, who was called and what reached the upstream, over the time of one run.
pub(super) fn draw(run: &Run) -> String {
    let who = if run.callers == 2 {
        "fetcher"
    } else {
        "caller"
    };
    let end = run
        .spans
        .iter()
        .map(|span| span.to)
        .fold(run.milliseconds, f64::max);
    let mut picture = format!("{}, {}\n", count(run.callers as u64, who), run.way.name());
    for (lane, name, line) in [
        (Lane::Caller, who, '─'),
        (Lane::GuestCall, "guest call", '━'),
        (Lane::UpstreamRequest, "upstream request", '█'),
    ] {
        let spans: Vec<Span> = run
            .spans
            .iter()
            .filter(|span| span.lane == lane)
            .copied()
            .collect();
        if spans.len() <= BARS {
            for (nth, span) in spans.iter().enumerate() {
                let label = format!("{name} {}", nth + 1);
                let _ = writeln!(picture, "  {label:<LABEL$} {}", bar(span, end, line));
            }
        } else {
            let label = count(spans.len() as u64, name);
            let _ = writeln!(picture, "  {label:<LABEL$} {}", heights(&spans, end));
        }
    }
    let scale = format!("{end:.0} ms");
    let _ = writeln!(
        picture,
        "  {:<LABEL$} 0{scale:>width$}",
        "",
        width = WIDTH - 1
    );
    picture
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

fn bar(span: &Span, end: f64, line: char) -> String {
    let from = column(span.from, end).min(WIDTH - 1);
    let length = column(span.to, end).saturating_sub(from).max(1);
    " ".repeat(from) + &line.to_string().repeat(length)
}

/// How many of `spans` are under way, column by column: the fullest column is the highest.
fn heights(spans: &[Span], end: f64) -> String {
    let mut under_way = [0_usize; WIDTH];
    for span in spans {
        let from = column(span.from, end).min(WIDTH - 1);
        let to = column(span.to, end).max(from + 1);
        under_way[from..to].iter_mut().for_each(|count| *count += 1);
    }
    let most = under_way.iter().copied().max().unwrap_or(1).max(1);
    under_way
        .iter()
        .map(|count| [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(count * 8).div_ceil(most)])
        .collect()
}

/// The figures of all runs, as a table.
pub(super) fn figures(runs: &[Run]) -> String {
    let mut table = format!(
        "{:<18} {:>8} {:>12} {:>18} {:>10}\n",
        "", "callers", "guest calls", "upstream requests", "time"
    );
    for Run {
        way,
        callers,
        guest_calls,
        upstream_requests,
        milliseconds,
        ..
    } in runs
    {
        let name = way.name();
        let _ = writeln!(
            table,
            "{name:<18} {callers:>8} {guest_calls:>12} {upstream_requests:>18} {milliseconds:>7.0} ms"
        );
        if *way == Way::SingleFlight {
            table.push('\n');
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(lane: Lane, from: f64, to: f64) -> Span {
        Span { lane, from, to }
    }

    #[test]
    fn a_bar_begins_and_ends_where_its_span_does() {
        let half = bar(&span(Lane::Caller, 50.0, 100.0), 100.0, '─');
        assert_eq!(half, " ".repeat(WIDTH / 2) + &"─".repeat(WIDTH / 2));
        let instant = bar(&span(Lane::Caller, 100.0, 100.0), 100.0, '─');
        assert_eq!(instant.chars().count(), WIDTH);
    }

    #[test]
    fn heights_show_how_many_are_under_way() {
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
