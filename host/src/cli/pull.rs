//! `oneflight pull`: a component of a registry, for its file or for a later start without the registry.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use oneflight::config::{CompileConfig, RegistryConfig};
use oneflight::oci::Reference;
use oneflight::printable::{Escape, escape};
use tokio::task::spawn_blocking;

use super::compile::CacheFlags;
use super::loading::LoadContext;
use super::output_file::write_whole;
use super::registries::{
    AccessFlags, RegistryFlags, json, policy_text, pull, resolve, source_text,
};

/// Pulls a component from a registry into the cache, and prints its digest.
///
/// With --output it is also written to a file. Credentials are those of docker login. What the artifact suggests as a
/// policy is printed, and has no effect.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PullCommand {
    /// The component: oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:DIGEST.
    reference: Reference,

    /// The file to write it to. One that exists is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cache: CacheFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    access: AccessFlags,
}

const EXAMPLES: &str = "\
Examples:
  oneflight pull oci://ghcr.io/acme/orders:1.4                prints the digest, for the configuration file
  oneflight pull oci://ghcr.io/acme/orders:1.4 -o orders.wasm";

impl PullCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let compile = self.cache.over(CompileConfig::default());
        let registry = self.registry.over(RegistryConfig::default());
        let LoadContext { registries, .. } = LoadContext::new(&compile, &registry)?;
        ensure!(
            registries.cache.is_some() || self.output.is_some(),
            "expected a place for the component, got no cache and no file; give the file with --output"
        );
        let access = self.access.access()?;
        let resolved = resolve(&registries, &self.reference, &access).await?;
        let artifact = pull(&registries, &resolved, &access).await?;
        if let Some(file) = self.output.clone() {
            let component = Arc::clone(&artifact.component);
            let written = spawn_blocking({
                let file = file.clone();
                move || write_whole(&file, &component)
            });
            written
                .await?
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        let mut out = stdout();
        if self.json {
            let json = json(&artifact).to_string();
            writeln!(out, "{}", escape(&json, Escape::Json, |_| true))?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "{}", artifact.reference)?;
        writeln!(out, "  digest   {}", artifact.digest)?;
        let (bytes, from) = (artifact.component.len(), source_text(artifact.source));
        writeln!(out, "  size     {bytes} bytes, from {from}")?;
        if let Some(policy) = &artifact.policy {
            write!(out, "{}", policy_text(policy))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
