//! [`Value`]: what may be a secret, and so is best kept elsewhere than in the file.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A text, and where it comes from.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: ValueOrigin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    /// It was written down.
    Written,
    /// This variable of oneflight's own environment.
    Environment(String),
    /// This file, without the end of its last line.
    File(PathBuf),
}

impl Value {
    pub(super) fn written(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: ValueOrigin::Written,
        }
    }

    pub(super) fn from_environment(variable: &str) -> anyhow::Result<Self> {
        let text = std::env::var(variable).with_context(|| {
            format!("found no text in the environment variable {variable}; export it, or write the value itself")
        })?;
        Ok(Self {
            text,
            origin: ValueOrigin::Environment(variable.to_owned()),
        })
    }

    pub(super) fn from_file(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("could not read {}", file.display()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Self {
            text: line.strip_suffix('\r').unwrap_or(line).to_owned(),
            origin: ValueOrigin::File(file.to_owned()),
        })
    }
}
