//! A table of the file while it is read: what is taken out of it has the form that is asked for, and what
//! is left over at the end is a name that nobody knows.
//!
//! A complaint says the file and the line, what was found, what was needed. It repeats no value of a
//! setting, which may be a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{Field, Fields, Zero};
use super::units::{A_DURATION, A_SIZE, bytes, duration};
use super::value::Value;

/// Why a configuration cannot be used, and where that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: usize,
    message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The text of a file, to say where in it something is.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, at: &Range<usize>, message: impl Into<String>) -> ConfigError {
        let before = &self.text.as_bytes()[..at.start.min(self.text.len())];
        ConfigError {
            file: self.file.to_owned(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            message: message.into(),
        }
    }
}

/// A value, and where it is.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
}

/// One table.
pub(super) struct Section<'a> {
    source: Source<'a>,
    /// As its header has it, without the brackets; empty for the whole file.
    name: String,
    at: Range<usize>,
    entries: BTreeMap<String, (Range<usize>, Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// All of a file.
    pub(super) fn whole(source: Source<'a>) -> Result<Self, ConfigError> {
        let parsed = DeTable::parse(source.text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            let message = match error.message() {
                "duplicate key" => {
                    "found this name a second time; needed once: remove or rename one"
                }
                other => other,
            };
            source.error(&at, message)
        })?;
        let at = parsed.span();
        Ok(Self::of(source, String::new(), at, parsed.into_inner()))
    }

    fn of(source: Source<'a>, name: String, at: Range<usize>, table: DeTable<'a>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let at = key.span();
            (key.into_inner().into_owned(), (at, value))
        });
        Self {
            source,
            name,
            at,
            entries: entries.collect(),
            known: Vec::new(),
        }
    }

    /// A complaint about this table as a whole.
    pub(super) fn error(&self, message: impl Into<String>) -> ConfigError {
        self.source.error(&self.at, message)
    }

    /// A complaint about something in it.
    pub(super) fn error_at(&self, at: &Range<usize>, message: impl Into<String>) -> ConfigError {
        self.source.error(at, message)
    }

    fn take(&mut self, name: &'static str) -> Option<Found<DeValue<'a>>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let (_, value) = self.entries.remove(name)?;
        let at = value.span();
        let value = value.into_inner();
        Some(Found { value, at })
    }

    fn unlike(&self, name: &str, found: &Found<DeValue<'_>>, needed: &str) -> ConfigError {
        let kind = match found.value {
            DeValue::Table(_) => "a table",
            DeValue::Array(_) => "an array",
            DeValue::String(_) => "another text",
            DeValue::Integer(_) => "a number without a unit, or out of range",
            _ => "something else",
        };
        let name = self.path(name);
        self.error_at(
            &found.at,
            format!("found {kind} for {name}; needed {needed}"),
        )
    }

    /// `clients.orders.component`.
    fn path(&self, name: &str) -> String {
        if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.name)
        }
    }

    /// What `read` makes of a value; `needed` says what that takes.
    fn read<T>(
        &mut self,
        name: &'static str,
        needed: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Result<Option<Found<T>>, ConfigError> {
        let Some(found) = self.take(name) else {
            return Ok(None);
        };
        match read(&found.value) {
            Some(value) => Ok(Some(Found {
                value,
                at: found.at,
            })),
            None => Err(self.unlike(name, &found, needed)),
        }
    }

    pub(super) fn text(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Found<String>>, ConfigError> {
        self.read(name, "a text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    /// A text that `read` understands.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        needed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let read = self.read(name, needed, |value| read(value.as_str()?))?;
        Ok(read.map(|found| found.value))
    }

    pub(super) fn duration(
        &mut self,
        name: &'static str,
    ) -> Result<Option<std::time::Duration>, ConfigError> {
        self.parsed(name, A_DURATION, duration)
    }

    pub(super) fn bytes(&mut self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        self.parsed(name, A_SIZE, bytes)
    }

    pub(super) fn count(&mut self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        let read = self.read(name, "a whole number, without a unit", integer)?;
        Ok(read.map(|found| found.value))
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        let read = self.read(name, "true or false", DeValue::as_bool)?;
        Ok(read.map(|found| found.value))
    }

    pub(super) fn share(&mut self, name: &'static str) -> Result<Option<f64>, ConfigError> {
        let read = self.read(name, "a share from 0 to 1, as in 0.1", share)?;
        Ok(read.map(|found| found.value))
    }

    /// Whether the value is `false`, which turns a thing off that otherwise needs a text. Takes it if so.
    pub(super) fn is_off(&mut self, name: &'static str) -> bool {
        let off = |(_, value): &(_, Spanned<DeValue<'_>>)| {
            matches!(value.get_ref(), DeValue::Boolean(false))
        };
        let is_off = self.entries.get(name).is_some_and(off);
        if is_off {
            self.take(name);
        }
        is_off
    }

    /// An array of texts, each of which `read` understands.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(found) = self.take(name) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(values) = &found.value else {
            return Err(self.unlike(name, &found, "an array of texts, as in [\"...\"]"));
        };
        let mut list = Vec::new();
        for value in values {
            let complaint = |why: String| {
                let name = self.path(name);
                self.error_at(&value.span(), format!("found a bad entry in {name}: {why}"))
            };
            let text = value.get_ref().as_str();
            let text = text.ok_or_else(|| complaint("needed a text in quotes".to_owned()))?;
            list.push(read(text).map_err(complaint)?);
        }
        Ok(list)
    }

    /// Sets those of `fields` that are here.
    pub(super) fn fields(&mut self, fields: Fields<'_>) -> Result<(), ConfigError> {
        for (name, field, zero) in fields {
            let at = self.entries.get(name).map(|(at, _)| at.clone());
            let is_zero = match field {
                Field::Time(value) => set(value, self.duration(name)?).is_zero(),
                Field::Bytes(value) => *set(value, self.bytes(name)?) == 0,
                Field::Count(value) => *set(value, self.count(name)?) == 0,
            };
            if let Some(at) = at
                && is_zero
                && zero == Zero::Refused
            {
                let name = self.path(name);
                let message = format!("found zero for {name}; needed more, or nothing would run");
                return Err(self.error_at(&at, message));
            }
        }
        Ok(())
    }

    /// The table `name` in it.
    pub(super) fn section(&mut self, name: &'static str) -> Result<Option<Self>, ConfigError> {
        let Some(found) = self.take(name) else {
            return Ok(None);
        };
        let path = self.path(name);
        match found.value {
            DeValue::Table(table) => Ok(Some(Self::of(self.source, path, found.at, table))),
            _ => Err(self.unlike(name, &found, &format!("a table, as in [{path}]"))),
        }
    }

    /// The table `name` if it is one, and not some other value, which is left.
    pub(super) fn section_or_value(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Self>, ConfigError> {
        let is_table = |(_, value): &(_, Spanned<DeValue<'_>>)| value.get_ref().is_table();
        if self.entries.get(name).is_some_and(is_table) {
            self.section(name)
        } else {
            Ok(None)
        }
    }

    /// All that is in it, under names that the file chooses: texts, or tables.
    pub(super) fn named(self) -> Vec<(Found<String>, Entry<'a>)> {
        let (source, parent) = (self.source, self.name);
        let entries = self.entries.into_iter();
        entries
            .map(|(name, (at, value))| {
                let (path, span) = (format!("{parent}.{name}"), value.span());
                let entry = match value.into_inner() {
                    DeValue::String(text) => Entry::Text(text.into_owned()),
                    DeValue::Table(table) => Entry::Section(Self::of(source, path, span, table)),
                    _ => Entry::Other,
                };
                (Found { value: name, at }, entry)
            })
            .collect()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), ConfigError> {
        let Some((name, (at, _))) = self.entries.iter().next() else {
            return Ok(());
        };
        let nearest = self
            .known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .min()
            .filter(|(distance, known)| *distance <= known.len().min(name.len()).div_ceil(3));
        let (found, needed) = (self.path(name), self.known.join(", "));
        let needed = match nearest {
            Some((_, known)) => format!("did you mean {known}?"),
            None => format!("needed one of {needed}"),
        };
        Err(self.error_at(at, format!("found the unknown name {found}; {needed}")))
    }
}

/// What stands under a name that the file chose.
pub(super) enum Entry<'a> {
    Text(String),
    Section(Section<'a>),
    Other,
}

impl Entry<'_> {
    /// What stands under `name`: a text, or where to find it. Paths are relative to `folder`.
    pub(super) fn value(
        self,
        file: &Section<'_>,
        name: &Found<String>,
        folder: &Path,
    ) -> Result<Value, ConfigError> {
        let Found { value: name, at } = name;
        let needed = "needed a text in quotes, { env = \"NAME\" } or { file = \"PATH\" }";
        let unlike = || file.error_at(at, format!("found another value for {name}; {needed}"));
        let mut source = match self {
            Self::Text(value) => return Ok(Value::written(value)),
            Self::Section(source) => source,
            Self::Other => return Err(unlike()),
        };
        let (env, path) = (source.text("env")?, source.text("file")?);
        source.end()?;
        let value = match (env, path) {
            (Some(variable), None) => Value::from_environment(&variable.value),
            (None, Some(path)) => Value::from_file(&folder.join(path.value)),
            _ => return Err(unlike()),
        };
        value.map_err(|error| file.error_at(at, format!("{error:#}")))
    }
}

fn share(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) => integer.as_str(),
        _ => return None,
    };
    let share = text.parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}

fn integer(value: &DeValue<'_>) -> Option<usize> {
    let integer = value.as_integer()?;
    usize::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn set<T>(value: &mut T, new: Option<T>) -> &T {
    if let Some(new) = new {
        *value = new;
    }
    value
}
