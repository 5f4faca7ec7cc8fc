//! [`KitReport`]: what all situations have shown, as a table and as JSON.

use std::fmt::Write;

use oneflight::printable::{Escape, escape};
use serde::Serialize;

use super::finding::{Finding, Verdict};

/// What all situations have shown.
#[derive(Debug, Serialize)]
pub(super) struct KitReport {
    /// The component.
    pub(super) component: String,
    pub(super) passed: usize,
    pub(super) advice: usize,
    pub(super) failed: usize,
    /// The situations that were left out, since the usual answer was not returned.
    pub(super) left_out: usize,
    pub(super) seconds: f64,
    pub(super) situations: Vec<Finding>,
}

/// Whether the table has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

impl Colours {
    fn apply(self, verdict: Verdict, text: &str) -> String {
        let colour = match verdict {
            Verdict::Pass => 32,
            Verdict::Advice => 33,
            Verdict::Fail => 31,
        };
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

impl Verdict {
    /// The word in the table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Advice => "advice",
            Self::Fail => "FAIL",
        }
    }
}

impl KitReport {
    pub(super) fn new(
        component: String,
        situations: Vec<Finding>,
        expected: usize,
        seconds: f64,
    ) -> Self {
        let number = |verdict| {
            let of = situations.iter().filter(|found| found.verdict == verdict);
            of.count()
        };
        Self {
            component,
            passed: number(Verdict::Pass),
            advice: number(Verdict::Advice),
            failed: number(Verdict::Fail),
            left_out: expected.saturating_sub(situations.len()),
            seconds,
            situations,
        }
    }

    /// A line for each situation, and for what is not right also what a caller sees, what to change, and the log. What a
    /// guest or a component wrote is escaped.
    pub(super) fn table(&self, colours: Colours) -> String {
        /// The width of the titles.
        const WIDTH: usize = 44;
        let mut text = format!("{}\n\n", visible(&self.component));
        for of in &self.situations {
            let verdict = colours.apply(of.verdict, &format!("{:<6}", of.verdict.word()));
            let found = visible(&of.found);
            let _ = writeln!(text, "  {verdict}  {:<WIDTH$}  {found}", of.title);
            if of.verdict == Verdict::Pass {
                continue;
            }
            if !of.message.is_empty() {
                let _ = writeln!(text, "{:10}caller   {}: {}", "", of.code, of.message);
            }
            if !of.change.is_empty() {
                let _ = writeln!(text, "{:10}change   {}", "", of.change);
            }
            for line in &of.log {
                let _ = writeln!(text, "{:10}log      {}", "", visible(line));
            }
        }
        let Self {
            passed,
            advice,
            failed,
            left_out,
            seconds,
            ..
        } = self;
        let _ = write!(
            text,
            "\n{passed} passed, {advice} with advice, {failed} failed, {seconds:.1} s"
        );
        if *left_out > 0 {
            let _ = write!(
                text,
                "\n{left_out} situations were left out: they need a client that returns the usual answer"
            );
        }
        text
    }
}

fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    escape(text, Escape::Rust, |_| true)
}
