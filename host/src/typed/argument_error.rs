//! [`ArgumentError`]: why arguments are not those of a function.

use std::fmt::{self, Display, Formatter};

use crate::printable::bounded;

/// How many characters of a caller's text an error shows.
const MAX_SHOWN_CHARS: usize = 64;

/// Why arguments are not those of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    /// Which argument, and which part of it: `filter.regions[2]`. Empty for the arguments as a whole.
    pub path: String,
    /// What is wrong with it.
    pub problem: ArgumentProblem,
}

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentProblem {
    /// It has another type.
    Type {
        /// The type in WIT.
        ty: String,
        /// What was expected in its place.
        expected: String,
        /// What there is instead.
        got: String,
    },
    /// It is missing.
    Missing {
        /// The type in WIT.
        ty: String,
    },
    /// The function, or the record, has nothing of this name.
    Unknown {
        /// The names that there are.
        known: String,
    },
    /// It is there more than once.
    Repeated,
    /// The arguments are not well-formed, as JSON or as WAVE.
    Syntax(String),
    /// The arguments exceed `max_arguments_bytes`, which is this.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl ArgumentError {
    pub(super) fn new(path: impl Into<String>, problem: ArgumentProblem) -> Self {
        Self {
            path: path.into(),
            problem,
        }
    }
}

impl Display for ArgumentError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { path, problem } = self;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        match problem {
            ArgumentProblem::Type { ty, expected, got } => {
                write!(f, "expected {expected}, of type {ty}, got {got}")
            }
            ArgumentProblem::Missing { ty } => {
                write!(f, "expected a value of type {ty}, got none; add it")
            }
            ArgumentProblem::Unknown { known } if known.is_empty() => {
                f.write_str("expected no arguments, got one; remove it")
            }
            ArgumentProblem::Unknown { known } => {
                write!(f, "expected one of {known}, got another name; remove it")
            }
            ArgumentProblem::Repeated => f.write_str("expected it once, got it twice; remove one"),
            ArgumentProblem::Syntax(why) => f.write_str(why),
            ArgumentProblem::TooLong { limit } => write!(
                f,
                "expected arguments of at most {limit} bytes, got more; send less, or raise max_arguments_bytes"
            ),
        }
    }
}

impl std::error::Error for ArgumentError {}

/// A type in an error, at most 4 KiB of it.
pub(super) fn limited(ty: impl Display) -> String {
    bounded(ty)
}

/// Names in an error with commas between them, at most 4 KiB of them.
pub(super) fn limited_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    bounded(names.join(", "))
}

/// A caller's text in quotes, as an error shows it.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// A name as a step of a path. One that no field can have is in quotes: it is a caller's text, a key of a map.
pub(super) fn path_step(name: &str) -> String {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.len() <= MAX_SHOWN_CHARS && name.bytes().all(is_label) {
        name.to_owned()
    } else {
        shown(name)
    }
}

/// The beginning of a caller's text, if it is long.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
