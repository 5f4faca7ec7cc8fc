//! `oneflight check`: whether the host can run a component, and if not, how to fix it.

use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use oneflight::component::ComponentReport;
use oneflight::config::{CompileConfig, Component, RegistryConfig};
use oneflight::oci::Artifact;
use oneflight::printable::{Escape, escape_lines};
use oneflight::{LoadError, Settings, Wit};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::client::component;
use super::compile::CompileFlags;
use super::loading::{ComponentBytes, LoadContext, load};
use super::registries::{self, AccessFlags, RegistryFlags, policy_text, source_text};

/// Checks whether oneflight can run a component, and prints how to fix it if not.
///
/// The component is compiled and instantiated as by `get` and `serve`, but not called.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The component: a .wasm file, or a reference of a registry, oci://REGISTRY/NAME@sha256:DIGEST or :TAG.
    #[arg(value_name = "FILE", value_parser = component())]
    file: Component,

    /// The WIT from which the component was built, a file or a folder. Its types are compared with those of the component,
    /// and its documentation comments are printed.
    #[arg(long, value_name = "PATH")]
    wit: Option<PathBuf>,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compile: CompileFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    access: AccessFlags,
}

const EXAMPLES: &str = "\
Examples:
  oneflight check target/wasm32-wasip1/release/my_client.wasm
  oneflight check orders.wasm --wit wit                compares it with its WIT, and prints the comments
  oneflight check oci://ghcr.io/acme/orders:1.4        pulls it from its registry before
  oneflight check my-client.wasm --json && oneflight serve --component my-client.wasm";

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut settings = Settings::new("check");
        settings.limits.max_executions = 1;
        if let Some(path) = self.wit.clone() {
            let wit = spawn_blocking(move || Wit::read(&path)).await??;
            settings.wit = Some(Arc::new(wit));
        }
        let compile = self.compile.over(CompileConfig::default());
        let registry = self.registry.over(RegistryConfig::default());
        let context = LoadContext::new(&compile, &registry)?;
        let (loaded, artifact) = match context.read(&self.file, &self.access.access()?).await? {
            Ok(ComponentBytes { binary, artifact }) => {
                let loaded = load(&context.engine, &self.file, binary, settings).await;
                (loaded, artifact)
            }
            Err(error) => (Err(error), None),
        };
        let text = match &loaded {
            Ok(client) if self.json => {
                let mut json = json!({ "ok": true, "component": client.report() });
                if let Some(artifact) = &artifact {
                    json["artifact"] = registries::json(artifact);
                }
                json.to_string()
            }
            Ok(client) => self.describe(client.report(), artifact.as_ref()),
            Err(error) if self.json => {
                let (found, needed, fix) = (error.found(), error.expected(), error.fix());
                json!({ "ok": false, "found": found, "needed": needed, "fix": fix }).to_string()
            }
            Err(error) => self.explain(error),
        };
        let form = if self.json {
            Escape::Json
        } else {
            Escape::Rust
        };
        writeln!(stdout(), "{}", escape_lines(&text, form))?;
        Ok(if loaded.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn describe(&self, report: &ComponentReport, artifact: Option<&Artifact>) -> String {
        let file = &self.file;
        let mut text = format!("oneflight can run {file}\n\n");
        if let Some(artifact) = artifact {
            let from = source_text(artifact.source);
            let _ = writeln!(text, "  digest   {}, from {from}", artifact.digest);
        }
        let _ = writeln!(text, "  size     {} bytes", report.bytes);
        for (label, names, left_out) in [
            ("exports", &report.exports, report.exports_left_out),
            ("imports", &report.imports, report.imports_left_out),
        ] {
            for (nth, name) in names.iter().enumerate() {
                let _ = writeln!(text, "  {:<8} {name}", if nth == 0 { label } else { "" });
            }
            if left_out > 0 {
                let _ = writeln!(text, "  {:<8} and {left_out} more", "");
            }
        }
        if let Some(version) = &report.wasi {
            let _ = writeln!(text, "  {:<8} {version}", "WASI");
        }
        for warning in &report.warnings {
            let _ = writeln!(text, "  {:<8} {warning}", "warning");
        }
        if let Some(policy) = artifact.and_then(|artifact| artifact.policy.as_deref()) {
            text += &policy_text(policy);
        }
        text.push('\n');
        for function in &report.functions {
            let _ = writeln!(text, "  {}", function.name);
            if let Some(reason) = &function.refused {
                let _ = writeln!(text, "      cannot be called: {reason}");
                continue;
            }
            let docs = function.docs.iter().flat_map(|docs| docs.lines());
            for line in docs {
                let _ = writeln!(text, "      {}", format!("/// {line}").trim_end());
            }
            let _ = writeln!(text, "      {}", function.signature);
            let sharing = match function.shared {
                Some(true) => "callers with equal arguments share a flight",
                _ => "can be shared, if it only reads: list it in the client's setting share",
            };
            let _ = writeln!(text, "      {sharing}");
            if function.shared == Some(false) {
                // In the quotes of a shell.
                let example = function.example.replace('\'', r"'\''");
                let _ = writeln!(text, "      oneflight call '{example}' --component {file}");
            }
        }
        if report.functions_left_out > 0 {
            let _ = writeln!(text, "  and {} functions more", report.functions_left_out);
        }
        let has_items = report
            .functions
            .iter()
            .any(|function| function.shared == Some(true));
        if has_items {
            text += &format!("\nTry it:  oneflight get KEY --component {file}");
        }
        text
    }

    fn explain(&self, error: &LoadError) -> String {
        format!(
            "oneflight cannot run {}\n\n  expected {}\n  got      {}\n  fix      {}",
            self.file,
            error.expected(),
            error.found(),
            error.fix()
        )
    }
}
