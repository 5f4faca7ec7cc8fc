//! Loads a component for a command, and shows progress while it compiles.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Arc;

use oneflight::{BUILTIN, ComponentClient, Engine, LoadError, Settings};
use tokio::task::spawn_blocking;

use super::component_file::ComponentFile;
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
        move || match ComponentFile::open(&file)? {
            Ok(file) => file.read().map(Ok),
            Err(error) => anyhow::Ok(Err(error)),
        }
    });
    let binary = match binary.await?? {
        Ok(binary) => binary,
        Err(error) => return Ok(Err(error)),
    };
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
