//! The flags of registries, what they and the settings describe, and what is logged about a component from a registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use oneflight::component::Cache;
use oneflight::config::{ClientConfig, Component, RegistryConfig, describe, summarize};
use oneflight::oci::{
    Access, Artifact, ArtifactCache, PulledFrom, Reference, Registries, RegistryHost, Resolved,
    Version,
};
use oneflight::printable::{Escape, escape};
use oneflight::settings::CACHE_SIZE;
use oneflight::{CompileLimits, RegistryLimits};
use serde_json::{Value, json};

use super::flag::limit;

#[derive(Args, Debug)]
#[command(next_help_heading = "Registries")]
pub(super) struct RegistryFlags {
    #[arg(long, value_name = "HOST", value_parser = host, help = summarize("registry.plain_http"), long_help = describe("registry.plain_http"))]
    plain_http: Vec<RegistryHost>,

    #[arg(
        long,
        value_name = "TIME",
        value_parser = limit("response_timeout", |limits: &RegistryLimits| limits.response_timeout),
        help = summarize("registry.response_timeout"), long_help = describe("registry.response_timeout")
    )]
    registry_response_timeout: Option<Duration>,

    #[arg(
        long,
        value_name = "TIME",
        value_parser = limit("transfer_timeout", |limits: &RegistryLimits| limits.transfer_timeout),
        help = summarize("registry.transfer_timeout"), long_help = describe("registry.transfer_timeout")
    )]
    registry_transfer_timeout: Option<Duration>,
}

/// How one registry is reached, for commands without a client.
#[derive(Args, Debug)]
#[command(next_help_heading = "Registries")]
pub(super) struct AccessFlags {
    /// A PEM file with the root certificates to trust instead of those of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// The HTTP proxy through which the registry is reached: environment, or http://[user:password@]host[:port].
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
}

fn host(text: &str) -> Result<RegistryHost, String> {
    text.parse()
        .map_err(|()| "expected the host of a registry, as in registry.example:5000".to_owned())
}

impl RegistryFlags {
    /// `config` with what these flags set.
    pub(super) fn over(&self, mut config: RegistryConfig) -> RegistryConfig {
        config.plain_http.extend_from_slice(&self.plain_http);
        if let Some(time) = self.registry_response_timeout {
            config.limits.response_timeout = time;
        }
        if let Some(time) = self.registry_transfer_timeout {
            config.limits.transfer_timeout = time;
        }
        config
    }
}

impl AccessFlags {
    pub(super) fn access(&self) -> anyhow::Result<Access> {
        let mut client = ClientConfig::new("registry");
        // The built-in client would need an upstream.
        client.component = Component::File(PathBuf::new());
        if let Some(file) = &self.ca_file {
            client.set_ca_file(file)?;
        }
        if let Some(proxy) = &self.proxy {
            client.set_proxy(proxy);
        }
        Ok(client.complete()?.access())
    }
}

/// The registries that `config` describes. What is pulled is kept below the folder of compiled code.
pub(super) fn registries(
    config: &RegistryConfig,
    cache: Option<&Cache>,
    limits: &CompileLimits,
) -> Registries {
    let cache = cache.map(|cache| ArtifactCache::at(&cache.folder().join("oci"), CACHE_SIZE));
    Registries {
        cache: cache.map(Arc::new),
        limits: config.limits.clone(),
        plain_http: config.plain_http.clone(),
        max_component_bytes: limits.max_component_bytes as u64,
    }
}

/// The digest that `reference` stands for. A tag is logged with it, since it can be moved.
pub(super) async fn resolve(
    registries: &Registries,
    reference: &Reference,
    access: &Access,
) -> anyhow::Result<Resolved> {
    let resolved = registries.resolve(reference, access).await?;
    let Resolved {
        digest, outdated, ..
    } = &resolved;
    match outdated {
        Some(why) => tracing::warn!(
            %reference,
            %digest,
            "the registry does not say what the tag stands for, so the digest is used that it stood for before: {why}"
        ),
        None if matches!(reference.version, Version::Tag(_)) => tracing::warn!(
            %reference,
            %digest,
            "a tag can be moved to another component; write {} to keep this one",
            resolved.reference
        ),
        None => {}
    }
    Ok(resolved)
}

/// The component that `resolved` stands for.
pub(super) async fn pull(
    registries: &Registries,
    resolved: &Resolved,
    access: &Access,
) -> anyhow::Result<Artifact> {
    let artifact = registries.pull(resolved, access).await?;
    let Artifact {
        reference,
        component,
        policy,
        source,
        ..
    } = &artifact;
    let from = source_text(*source);
    tracing::info!(%reference, bytes = component.len(), from, "a component of a registry");
    if policy.is_some() {
        tracing::info!(%reference, "the artifact suggests a policy, which has no effect; oneflight check prints it");
    }
    Ok(artifact)
}

/// Where it is from, for people.
pub(super) fn source_text(source: PulledFrom) -> &'static str {
    match source {
        PulledFrom::Cache => "the cache",
        PulledFrom::Registry => "the registry",
    }
}

/// An artifact as JSON.
pub(super) fn json(artifact: &Artifact) -> Value {
    let source = match artifact.source {
        PulledFrom::Cache => "cache",
        PulledFrom::Registry => "registry",
    };
    json!({
        "reference": artifact.reference.to_string(),
        "digest": artifact.digest.to_string(),
        "bytes": artifact.component.len(),
        "source": source,
        "policy": artifact.policy,
    })
}

/// The policy that an artifact suggests, for people. Its lines are those of its author, so they are escaped.
pub(super) fn policy_text(policy: &str) -> String {
    let mut text = String::from(
        "  policy   of the author of the artifact; it has no effect: copy what you agree with into the client's settings\n",
    );
    for line in policy.lines() {
        let line = escape(line, Escape::Rust, |_| true);
        text += format!("             {line}").trim_end();
        text.push('\n');
    }
    text
}
