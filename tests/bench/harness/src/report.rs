//! What comes out: tables of figures, and marks that say whether a figure is what was aimed at. Aligned
//! text for people, the same as JSON for programs.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use crate::machine::Machine;

/// All that one run found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Whether the figures mean nothing.
    pub quick: bool,
    /// What.
    pub sections: Vec<Section>,
}

/// What one section found.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its figures.
    pub tables: Vec<Table>,
    /// What was aimed at.
    pub marks: Vec<Mark>,
}

/// Figures, a row for each contestant.
#[derive(Debug, Serialize)]
pub struct Table {
    /// What the figures are, with their unit.
    pub title: String,
    /// Names of the columns, but for the first, which holds the contestants.
    pub columns: Vec<String>,
    /// The rows, as they are shown.
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
    /// Something measured: nanoseconds, bytes, calls.
    Amount(#[serde(serialize_with = "rounded")] f64),
    /// Something counted.
    Count(u64),
    /// One amount divided by another.
    Ratio(#[serde(serialize_with = "rounded")] f64),
    /// A part of the whole.
    Part(#[serde(serialize_with = "rounded")] f64),
    /// No figure, for want of this.
    NotRun(&'static str),
}

/// Something aimed at.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// What was aimed at.
    pub aim: String,
    /// Whether it was reached.
    pub verdict: Verdict,
    /// The figures that say so.
    pub found: String,
}

/// Whether a mark was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Met,
    /// It was not.
    NotMet,
    /// The figures are missing.
    NotRun,
}

impl Section {
    /// One that has found nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tables: Vec::new(),
            marks: Vec::new(),
        }
    }
}

impl Cell {
    /// A number as it stands at the head of a column.
    pub fn count(count: usize) -> String {
        Self::Count(count as u64).to_string()
    }
}

impl Table {
    /// One with no rows yet.
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

    /// The table, with a row that says what is missing where `name` has none.
    #[must_use]
    pub fn or_not_run(mut self, name: &str, missing: &'static str) -> Self {
        if self.rows.iter().all(|row| row.name != name) {
            self.push(name, vec![Cell::NotRun(missing)]);
        }
        self
    }

    /// How wide a column is. What is said in the place of figures may run over.
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

    /// The mark, with the figures that its own was made from.
    #[must_use]
    pub fn with(mut self, figures: impl fmt::Display) -> Self {
        self.found = format!("{}, {figures}", self.found);
        self
    }

    /// Whether a count is exactly this.
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
        let meaning = if self.quick {
            ", of a quick run: they mean nothing"
        } else {
            ""
        };
        writeln!(f, "marks{meaning}\n")?;
        for mark in self.sections.iter().flat_map(|section| &section.marks) {
            writeln!(f, "  {mark}")?;
        }
        Ok(())
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

/// No more digits than a measurement can have; null for a figure that is missing.
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
