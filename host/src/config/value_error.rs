//! [`ValueError`]: what was expected of a value of the file, what was found, and where.

use std::fmt::{self, Display};
use std::ops::Range;

use serde::de::{Error, Expected, Unexpected};
use toml::Spanned;
use toml::de::DeTable;

use super::renamed::renamed;

/// Why a value of the file cannot be used.
#[derive(Clone, Debug)]
pub(super) struct ValueError {
    problem: ValueProblem,
    /// The names of the tables around it and its own, the innermost first.
    path: Vec<String>,
    /// Where it is, in bytes.
    at: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
enum ValueProblem {
    Unexpected {
        expected: String,
        /// Absent where it may be a secret.
        got: Option<String>,
    },
    UnknownName {
        name: String,
        known: &'static [&'static str],
    },
    Other(String),
}

impl ValueError {
    /// An error about the setting at `path`, found once the file was read.
    pub(super) fn about(path: &[&str], message: impl Display) -> Self {
        Self {
            problem: ValueProblem::Other(message.to_string()),
            path: path.iter().rev().map(ToString::to_string).collect(),
            at: None,
        }
    }

    /// The place in a file that has this table.
    pub(super) fn place(&self, file: &Spanned<DeTable<'_>>) -> usize {
        if let Some(at) = &self.at {
            return at.start;
        }
        let (mut table, mut place) = (Some(file.get_ref()), file.span().start);
        for name in self.path.iter().rev() {
            let entry = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
            let Some((key, value)) = entry else {
                break;
            };
            place = key.span().start;
            table = value.get_ref().as_table();
        }
        place
    }

    fn unexpected(expected: impl Display, got: Unexpected<'_>) -> Self {
        Self::from(ValueProblem::Unexpected {
            expected: expected.to_string(),
            got: Some(written(got)),
        })
    }

    pub(super) fn at(mut self, at: &Range<usize>) -> Self {
        self.at.get_or_insert_with(|| at.clone());
        self
    }

    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    pub(super) fn without_value(mut self) -> Self {
        if let ValueProblem::Unexpected { got, .. } = &mut self.problem {
            *got = None;
        }
        self
    }

    /// `clients.orders.component`.
    fn path(&self) -> String {
        let names: Vec<_> = self.path.iter().rev().map(String::as_str).collect();
        names.join(".")
    }
}

impl From<ValueProblem> for ValueError {
    fn from(problem: ValueProblem) -> Self {
        Self {
            problem,
            path: Vec::new(),
            at: None,
        }
    }
}

impl Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if !path.is_empty() && !matches!(self.problem, ValueProblem::UnknownName { .. }) {
            write!(f, "{path}: ")?;
        }
        match &self.problem {
            ValueProblem::Unexpected { expected, got } => {
                let got = got.as_deref().unwrap_or("another value, which is hidden");
                write!(f, "expected {expected}, got {got}")
            }
            ValueProblem::UnknownName { name, known } => {
                let table = if path.is_empty() { path } else { path + "." };
                if let Some(new) = renamed(name, known) {
                    return write!(f, "{table}{name} was renamed to {new}; write {table}{new}");
                }
                write!(f, "found the unknown name {table}{name}; ")?;
                match nearest(name, known) {
                    Some(known) => write!(f, "did you mean {known}?"),
                    None => write!(f, "expected one of {}", known.join(", ")),
                }
            }
            ValueProblem::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ValueError {}

impl Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        ValueProblem::Other(message.to_string()).into()
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unexpected(expected, got)
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unexpected(expected, got)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unexpected(one_of(expected), Unexpected::Str(variant))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let name = name.to_owned();
        ValueProblem::UnknownName { name, known }.into()
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!(
            "expected a value for {field}, got none; add {field} = ..."
        ))
    }
}

/// The most similar known name.
fn nearest(name: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let distances = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), *known));
    let (distance, nearest) = distances.min()?;
    (distance <= nearest.len().min(name.len()).div_ceil(3)).then_some(nearest)
}

/// `"text" or "json"`.
pub(super) fn one_of(variants: &[&str]) -> String {
    let quoted: Vec<_> = variants.iter().map(|name| format!("{name:?}")).collect();
    match &*quoted {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}

/// A value as it is written in the file, unless it is long.
fn written(got: Unexpected<'_>) -> String {
    match got {
        Unexpected::Str(text) if text.chars().count() > 80 => "a longer string".to_owned(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Seq => "an array".to_owned(),
        other => other.to_string(),
    }
}
