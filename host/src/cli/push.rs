//! `oneflight push`: a component to a registry.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use oneflight::component::ComponentNames;
use oneflight::config::{CompileConfig, Component, PolicyFile, RegistryConfig};
use oneflight::oci::{Push, PushTarget};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::compile::CacheFlags;
use super::loading::LoadContext;
use super::registries::{AccessFlags, RegistryFlags};

/// Pushes a component to a registry, as an artifact that other tools for Wasm can pull, too. Prints its digest.
///
/// Credentials are those of docker login. The same component with the same policy always has the same digest.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PushCommand {
    /// The component, a .wasm file.
    file: PathBuf,

    /// Where to push it: oci://REGISTRY/NAME:TAG, or oci://REGISTRY/NAME for one that is known by its digest only.
    target: PushTarget,

    /// A TOML file with what the component needs: the settings allow, allow_net, share and [limits] of a client.
    /// Those who pull the artifact are shown it; it has no effect.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

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
  oneflight push orders.wasm oci://ghcr.io/acme/orders:1.4
  oneflight push orders.wasm oci://ghcr.io/acme/orders:1.4 --policy policy.toml";

impl PushCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let compile = self.cache.over(CompileConfig::default());
        let registry = self.registry.over(RegistryConfig::default());
        let context = LoadContext::new(&compile, &registry)?;
        let access = self.access.access()?;
        let policy = self.policy.clone();
        let policy = spawn_blocking(move || policy.map(|file| PolicyFile::read(&file)).transpose());
        let policy = policy.await??.map(PolicyFile::into_text);
        let file = Component::File(self.file.clone());
        let cannot_push = || format!("cannot push {file}");
        let read = context
            .read(&file, &access)
            .await?
            .with_context(cannot_push)?;
        let binary = Arc::clone(&read.binary);
        let names = spawn_blocking(move || ComponentNames::of(&binary)).await?;
        let Some(ComponentNames { imports, exports }) = names else {
            bail!(
                "expected a component, got something else in {file}; run oneflight check to see what to do"
            );
        };
        let push = Push {
            component: read.binary,
            imports,
            exports,
            policy,
        };
        let pushed = context.registries.push(push, &self.target, &access).await?;
        let (reference, digest) = (pushed.reference.to_string(), pushed.digest.to_string());
        if self.json {
            let target = self.target.to_string();
            let json = json!({ "pushed": target, "reference": reference, "digest": digest });
            writeln!(stdout(), "{json}")?;
        } else {
            writeln!(
                stdout(),
                "{}\n  as     {reference}\n  digest {digest}",
                self.target
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
