//! Reports: tables of figures, and marks that compare a figure with its target. They are printed as aligned
//! text for people, or as JSON for programs.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use crate::machine::Machine;

/// The results of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine that the run was made on.
    pub machine: Machine,
    /// Whether the run was too short for its figures to mean anything.
    pub quick: bool,
    /// The results by section.
    pub sections: Vec<Section>,
}

/// The results of one section.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its figures.
    pub tables: Vec<Table>,
    /// Whether its figures reach their targets.
    pub marks: Vec<Mark>,
}

/// Figures, a row for each contestant.
#[derive(Debug, Serialize)]
pub struct Table {
    /// What the figures are, with their unit.
    pub title: String,
    /// Names of the columns, except the first, which holds the contestants.
    pub columns: Vec<String>,
    /// The rows in order.
    pub rows: Vec<Row>,
}

/// One contestant's figures.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The contestant.
    pub name: String,
    /// One for each column, or a single [`Cell::NotRun`].
    pub cells: Vec<Cell>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// A measurement: nanoseconds, bytes, calls.
    Amount(#[serde(serialize_with = "rounded")] f64),
    /// A count.
    Count(u64),
    /// One amount divided by another.
    Ratio(#[serde(serialize_with = "rounded")] f64),
    /// A part of the whole.
    Part(#[serde(serialize_with = "rounded")] f64),
    /// No figure, because this program is not installed.
    NotRun(&'static str),
}

/// A target, and whether the figures reach it.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// The target.
    pub aim: String,
    /// Whether it is met.
    pub verdict: Verdict,
    /// The figures that the verdict is based on.
    pub found: String,
}

/// Whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figure is within its limit.
    Met,
    /// The figure is not within its limit.
    NotMet,
    /// The figures are missing.
    NotRun,
}

impl Section {
    /// A section without results yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tables: Vec::new(),
            marks: Vec::new(),
        }
    }
}

impl Cell {
    /// A number as the heading of a column.
    pub fn count(count: usize) -> String {
        Self::Count(count as u64).to_string()
    }
}

impl Table {
    /// A table without rows yet.
    pub fn new<S: Into<String>>(
        title: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            title: title.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// The table, with a row that names what is missing if `name` has no row.
    #[must_use]
    pub fn or_not_run(mut self, name: &str, missing: &'static str) -> Self {
        if self.rows.iter().all(|row| row.name != name) {
            self.push(name, vec![Cell::NotRun(missing)]);
        }
        self
    }

    /// The width of a column. [`Cell::NotRun`] may be wider.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
        let figures = cells.filter(|cell| !matches!(cell, Cell::NotRun(_)));
        let widest = figures.map(|cell| cell.to_string().len()).max();
        widest.unwrap_or(0).max(self.columns[column].len())
    }

    /// Adds a row.
    pub fn push(&mut self, name: impl Into<String>, cells: Vec<Cell>) {
        let name = name.into();
        self.rows.push(Row { name, cells });
    }
}

impl Mark {
    /// Whether `found` is at most `limit`, both of this unit.
    pub fn at_most(aim: impl Into<String>, found: f64, limit: f64, unit: &str) -> Self {
        let [shown, most] = [found, limit].map(Cell::Amount);
        let figures = format!("{shown}{unit} (at most {most}{unit})");
        Self::new(aim, found, found <= limit, figures)
    }

    /// Whether `found` is at least `limit`, both of this unit.
    pub fn at_least(aim: impl Into<String>, found: f64, limit: f64, unit: &str) -> Self {
        let [shown, least] = [found, limit].map(Cell::Amount);
        let figures = format!("{shown}{unit} (at least {least}{unit})");
        Self::new(aim, found, found >= limit, figures)
    }

    fn new(aim: impl Into<String>, found: f64, met: bool, figures: String) -> Self {
        let verdict = match met {
            _ if found.is_nan() => Verdict::NotRun,
            true => Verdict::Met,
            false => Verdict::NotMet,
        };
        Self {
            aim: aim.into(),
            verdict,
            found: figures,
        }
    }

    /// The mark, with the figures that its own was calculated from.
    #[must_use]
    pub fn with(mut self, figures: impl fmt::Display) -> Self {
        self.found = format!("{}, {figures}", self.found);
        self
    }

    /// Whether a count is exactly `expected`.
    pub fn exactly(aim: impl Into<String>, found: u64, expected: u64) -> Self {
        Self {
            aim: aim.into(),
            verdict: if found == expected {
                Verdict::Met
            } else {
                Verdict::NotMet
            },
            found: format!("{found} (exactly {expected})"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        for table in self.sections.iter().flat_map(|section| &section.tables) {
            writeln!(f, "{table}")?;
        }
        let marks = self.sections.iter().flat_map(|section| &section.marks);
        write_marks(f, self.quick, marks)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) if amount.is_nan() => f.pad("-"),
            Self::Amount(amount) if amount.abs() < 10.0 => f.pad(&format!("{amount:.2}")),
            Self::Amount(amount) => f.pad(&grouped(&format!("{amount:.0}"))),
            Self::Count(count) => f.pad(&grouped(&count.to_string())),
            Self::Ratio(ratio) => f.pad(&format!("{ratio:.2}")),
            Self::Part(part) => f.pad(&format!("{:.1}%", part * 100.0)),
            Self::NotRun(missing) => f.pad(&format!("NOT RUN: {missing}")),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|row| row.name.len()).max();
        let names = names.unwrap_or(0);
        let widths: Vec<_> = (0..self.columns.len())
            .map(|column| self.width(column))
            .collect();

        writeln!(f, "{}\n", self.title)?;
        line(f, names, "", self.columns.iter().zip(&widths))?;
        for row in &self.rows {
            line(f, names, &row.name, row.cells.iter().zip(&widths))?;
        }
        Ok(())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::NotMet => "NOT MET",
            Verdict::NotRun => "NOT RUN",
        };
        write!(f, "{verdict:<8} {}", self.aim)?;
        match self.verdict {
            Verdict::NotRun => Ok(()),
            _ => write!(f, ": {}", self.found),
        }
    }
}

/// Writes marks below a heading, which warns of the figures of a quick run.
///
/// # Errors
///
/// The formatter fails.
pub fn write_marks<'a>(
    f: &mut fmt::Formatter<'_>,
    quick: bool,
    marks: impl Iterator<Item = &'a Mark>,
) -> fmt::Result {
    let warning = if quick {
        " of a quick run, whose measurements mean nothing"
    } else {
        ""
    };
    writeln!(f, "marks{warning}\n")?;
    for mark in marks {
        writeln!(f, "  {mark}")?;
    }
    Ok(())
}

fn line<'a>(
    f: &mut fmt::Formatter<'_>,
    names: usize,
    name: &str,
    cells: impl Iterator<Item = (impl fmt::Display, &'a usize)>,
) -> fmt::Result {
    let mut line = format!("  {name:<names$}");
    for (cell, width) in cells {
        write!(line, "  {cell:>width$}")?;
    }
    writeln!(f, "{}", line.trim_end())
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (place, digit) in digits.char_indices() {
        let left = digits.len() - place;
        if place > 0 && left.is_multiple_of(3) && digits.as_bytes()[place - 1] != b'-' {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Not more digits than a measurement can have; null for a missing figure.
fn rounded<S: Serializer>(amount: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if amount.is_finite() {
        serializer.serialize_f64((amount * 1_000.0).round() / 1_000.0)
    } else {
        serializer.serialize_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Mark, Table, Verdict};

    #[test]
    fn a_table_is_aligned_on_its_figures() {
        let mut table = Table::new("calls", ["ns", "x"]);
        table.push("ours", vec![Cell::Amount(1234.4), Cell::Ratio(1.0)]);
        table.push("other", vec![Cell::NotRun("go")]);
        let text = "calls\n\n            ns     x\n  ours   1,234  1.00\n  other  NOT RUN: go\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn a_missing_figure_meets_no_mark() {
        let most = |found| Mark::at_most("", found, 1.0, "").verdict;
        let least = |found| Mark::at_least("", found, 1.0, "").verdict;
        assert_eq!([most(1.0), least(1.0)], [Verdict::Met; 2]);
        assert_eq!([most(1.1), least(0.9)], [Verdict::NotMet; 2]);
        assert_eq!([most(f64::NAN), least(f64::NAN)], [Verdict::NotRun; 2]);
    }
}
