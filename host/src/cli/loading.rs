//! Loads a component for a command, and shows progress while it compiles.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use oneflight::component::ShapeLimit;
use oneflight::{BUILTIN, CompileLimits, ComponentClient, Engine, LoadError, Settings};

use super::progress::{ProgressStyle, with_progress};
use super::stderr::Stderr;

/// Loads the component in `file`. The outer error is the file's, the inner one the component's.
pub(super) async fn load_file(
    engine: &Engine,
    file: &Path,
    settings: Settings,
) -> anyhow::Result<Result<ComponentClient, LoadError>> {
    let unreadable = || format!("could not read {}", file.display());
    // Checked before the file is read into memory.
    let (found, limit) = (
        file.metadata().with_context(unreadable)?.len(),
        CompileLimits::default().max_component_bytes as u64,
    );
    if found > limit {
        let part = ShapeLimit::Component;
        return Ok(Err(LoadError::TooComplex { part, found, limit }));
    }
    let binary = std::fs::read(file).with_context(unreadable)?;
    Ok(load(engine, &file.display().to_string(), binary, settings).await)
}

/// Loads the built-in client.
pub(super) async fn load_builtin(
    engine: &Engine,
    settings: Settings,
) -> Result<ComponentClient, LoadError> {
    load(engine, "the built-in client", BUILTIN, settings).await
}

async fn load(
    engine: &Engine,
    name: &str,
    binary: impl Into<Arc<[u8]>>,
    settings: Settings,
) -> Result<ComponentClient, LoadError> {
    let binary = binary.into();
    let task = format!("compiling {name} ({} KB)", binary.len() / 1_000);
    let loading = ComponentClient::load(engine, binary, settings);
    let style = if stderr().is_terminal() {
        ProgressStyle::Terminal
    } else {
        ProgressStyle::Log
    };
    with_progress(&task, loading, style, Stderr).await
}
