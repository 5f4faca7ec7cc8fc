//! Loads a component for a command, and shows progress while it compiles.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Arc;

use oneflight::config::{CompileConfig, Component, RegistryConfig};
use oneflight::oci::{Access, Artifact, Registries};
use oneflight::{BUILTIN, ComponentClient, Engine, LoadError, Settings};
use tokio::task::spawn_blocking;

use super::compile::compilation;
use super::component_file::ComponentFile;
use super::progress::{ProgressStyle, with_progress};
use super::registries::{pull, registries, resolve};
use super::stderr::Stderr;

/// What loading a component needs.
#[derive(Debug)]
pub(super) struct LoadContext {
    pub(super) engine: Engine,
    pub(super) registries: Registries,
}

/// A component, read from where it is.
pub(super) struct ComponentBytes {
    pub(super) binary: Arc<[u8]>,
    /// What it was pulled as.
    pub(super) artifact: Option<Artifact>,
}

impl LoadContext {
    /// An engine that compiles in children of this process, and registries.
    pub(super) fn new(compile: &CompileConfig, registry: &RegistryConfig) -> anyhow::Result<Self> {
        Self::of(Engine::on_demand()?, compile, registry)
    }

    /// The same with another engine. It blocks: the cache's folder may be on a file system that hangs.
    pub(super) fn of(
        engine: Engine,
        compile: &CompileConfig,
        registry: &RegistryConfig,
    ) -> anyhow::Result<Self> {
        let compilation = compilation(compile)?;
        let registries = registries(registry, compilation.cache.as_ref(), &compilation.limits);
        let engine = engine.compiling(compilation);
        Ok(Self { engine, registries })
    }

    /// Reads a component. The outer error is that of its file or its registry, the inner one the component's.
    pub(super) async fn read(
        &self,
        component: &Component,
        access: &Access,
    ) -> anyhow::Result<Result<ComponentBytes, LoadError>> {
        let artifact = match component {
            Component::Builtin => None,
            Component::File(file) => {
                let read = read_file(file).await?;
                let bytes = |binary| ComponentBytes {
                    binary,
                    artifact: None,
                };
                return Ok(read.map(bytes));
            }
            Component::Oci(reference) => {
                let resolved = resolve(&self.registries, reference, access).await?;
                Some(pull(&self.registries, &resolved, access).await?)
            }
        };
        let binary = match &artifact {
            Some(artifact) => Arc::clone(&artifact.component),
            None => BUILTIN.into(),
        };
        Ok(Ok(ComponentBytes { binary, artifact }))
    }
}

/// Loads the built-in client.
pub(super) async fn load_builtin(
    engine: &Engine,
    settings: Settings,
) -> Result<ComponentClient, LoadError> {
    load(engine, &Component::Builtin, BUILTIN.into(), settings).await
}

/// Loads `component`, which was read into `binary`.
pub(super) async fn load(
    engine: &Engine,
    component: &Component,
    binary: Arc<[u8]>,
    settings: Settings,
) -> Result<ComponentClient, LoadError> {
    let task = format!("compiling {component} ({} KB)", binary.len() / 1_000);
    let loading = ComponentClient::load(engine, binary, settings);
    let style = if stderr().is_terminal() {
        ProgressStyle::Terminal
    } else {
        ProgressStyle::Log
    };
    with_progress(&task, loading, style, Stderr).await
}

/// The component in `file`, which may be on a file system that hangs.
async fn read_file(file: &Path) -> anyhow::Result<Result<Arc<[u8]>, LoadError>> {
    let file = file.to_owned();
    let read = spawn_blocking(move || match ComponentFile::open(&file)? {
        Ok(file) => file.read().map(Ok),
        Err(error) => anyhow::Ok(Err(error)),
    });
    read.await?
}
