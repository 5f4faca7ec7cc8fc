//! The demo's picture and figures, as text: callers, guest calls and upstream requests over time.

use std::fmt::Write;

use super::recorder::{Lane, Span};
use super::{Run, Way};
use crate::cli::count;

/// The picture's width, in columns.
const WIDTH: usize = 56;

/// The width of what stands before it, in columns.
const LABEL: usize = 21;

/// The width of a whole line, in columns.
pub(super) const LINE: usize = 2 + LABEL + 1 + WIDTH;

/// What fits as a bar of its own; more of a lane is drawn as how many there are at a time.
const BARS: usize = 4;

/// Whether the picture may have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Coloured,
}

impl Paint {
    /// `text` in the colour of `lane`.
    fn of(self, lane: Lane, text: &str) -> String {
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

/// Who asked, who was called and what reached the upstream, over the time of a run of `callers`, which is
/// at least `least` milliseconds long.
pub(super) fn draw(way: Way, callers: usize, spans: &[Span], least: f64, paint: Paint) -> String {
    let who = if callers == 2 { "fetcher" } else { "caller" };
    let end = spans.iter().map(|span| span.to).fold(least, f64::max);
    let mut picture = format!("{}, {}\n", count(callers as u64, who), way.name());
    for (lane, name, line) in [
        (Lane::Caller, who, '─'),
        (Lane::GuestCall, "guest call", '━'),
        (Lane::UpstreamRequest, "upstream request", '█'),
    ] {
        let spans: Vec<Span> = spans
            .iter()
            .filter(|span| span.lane == lane)
            .copied()
            .collect();
        let mut row = |label: String, drawn: &str| {
            let drawn = paint.of(lane, drawn);
            let _ = writeln!(picture, "  {label:<LABEL$} {drawn}");
        };
        if spans.len() <= BARS {
            for (nth, span) in spans.iter().enumerate() {
                row(format!("{name} {}", nth + 1), &bar(span, end, line));
            }
        } else {
            row(count(spans.len() as u64, name), &heights(&spans, end));
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
    fn colours_are_there_only_where_they_may_be() {
        let spans = [span(Lane::UpstreamRequest, 0.0, 50.0)];
        let drawn = |paint| draw(Way::SingleFlight, 2, &spans, 100.0, paint);
        assert!(!drawn(Paint::Plain).contains('\x1b'));
        let bar = "█".repeat(WIDTH / 2);
        let coloured = format!("  {:<LABEL$} \x1b[35m{bar}\x1b[0m\n", "upstream request 1");
        assert!(drawn(Paint::Coloured).contains(&coloured));
        let plain = coloured.replace("\x1b[35m", "").replace("\x1b[0m", "");
        assert!(drawn(Paint::Plain).contains(&plain));
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
