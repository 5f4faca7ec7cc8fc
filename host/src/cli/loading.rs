//! Loads a component for a command, and shows progress while it compiles.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use oneflight::component::ShapeLimit;
use oneflight::{BUILTIN, CompileLimits, ComponentClient, Engine, LoadError, Settings};
use tokio::task::spawn_blocking;

use super::progress::{ProgressStyle, with_progress};
use super::stderr::Stderr;

/// Loads the component in `file`. The outer error is the file's, the inner one the component's.
pub(super) async fn load_file(
    engine: &Engine,
    file: &Path,
    settings: Settings,
) -> anyhow::Result<Result<ComponentClient, LoadError>> {
    // The file may be on a file system that hangs.
    let binary = spawn_blocking({
        let file = file.to_owned();
        move || read(&file)
    });
    let binary = match binary.await?? {
        Ok(binary) => binary,
        Err(error) => return Ok(Err(error)),
    };
    Ok(load(engine, &file.display().to_string(), binary, settings).await)
}

/// Reads a component. The errors are those of [`load_file`].
pub(super) fn read(file: &Path) -> anyhow::Result<Result<Vec<u8>, LoadError>> {
    let unreadable = || format!("could not read {}", file.display());
    // Checked before the file is read into memory, or waits for the writer of a pipe.
    let metadata = file.metadata().with_context(unreadable)?;
    if !metadata.is_file() {
        bail!(
            "expected a file at {}, got a folder, a pipe or a device; give the path of a component",
            file.display()
        );
    }
    let (found, limit) = (
        metadata.len(),
        CompileLimits::default().max_component_bytes as u64,
    );
    if found > limit {
        let part = ShapeLimit::Component;
        return Ok(Err(LoadError::TooComplex { part, found, limit }));
    }
    std::fs::read(file).with_context(unreadable).map(Ok)
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
