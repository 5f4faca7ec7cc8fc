//! `oneflight config`: checks and prints a configuration file, and prints the reference of all settings.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use oneflight::config::{self, Config};

use super::capacity::{Capacity, Demand};
use super::client::load_client;
use super::descriptors::Descriptors;
use super::format::count;
use super::loading::LoadContext;
use super::registries::source_text;

/// Checks or prints a configuration file of `serve --config`; prints an example file, its JSON Schema, or a table of all
/// settings.
#[derive(Args, Debug)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Checks a file: its settings, the files that it names, and each client's component.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
    /// Prints the effective configuration: defaults are marked, and the values of clients' environment variables are
    /// hidden.
    Print {
        /// The configuration file.
        file: PathBuf,
    },
    /// Prints a file with every setting, its reason and its default.
    Example,
    /// Prints the JSON Schema of the file, for editors.
    Schema,
    /// Prints a Markdown table of every setting with its default and its meaning.
    Table,
}

impl ConfigCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            ConfigAction::Check { file } => check(&file).await?,
            ConfigAction::Print { file } => write!(stdout(), "{}", Config::read(&file)?)?,
            ConfigAction::Example => write!(stdout(), "{}", config::example())?,
            ConfigAction::Schema => writeln!(stdout(), "{:#}", config::schema())?,
            ConfigAction::Table => write!(stdout(), "{}", config::table())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn check(file: &Path) -> anyhow::Result<()> {
    let config = Config::read(file)?;
    let context = LoadContext::new(&config.compile, &config.registry)?;
    // All at the same time, as the service holds them.
    let mut loaded = Vec::new();
    for client in &config.clients {
        loaded.push(load_client(&context, client).await?);
    }
    let clients = count(config.clients.len() as u64, "client");
    writeln!(stdout(), "{}: valid, {clients}", file.display())?;
    for (client, loaded) in config.clients.iter().zip(&loaded) {
        let component = &client.component;
        match &loaded.artifact {
            None => writeln!(stdout(), "  {}: {component}", client.name())?,
            Some(artifact) => {
                let (digest, from) = (artifact.digest, source_text(artifact.source));
                writeln!(
                    stdout(),
                    "  {}: {component} ({digest}, from {from})",
                    client.name()
                )?;
            }
        }
    }
    let demands = loaded.iter().map(|loaded| Demand::of(&loaded.component));
    let demands: Vec<_> = demands.collect();
    let descriptors = Descriptors::of(&config);
    let limits = descriptors.within(&config.limits);
    let Capacity { lines, warnings } = Capacity::of(&demands, &limits, &config.compile);
    let lines = lines.into_iter().chain([descriptors.summary()]);
    let warnings = warnings
        .into_iter()
        .chain(descriptors.warning(&config.limits));
    for line in lines {
        writeln!(stdout(), "  {line}")?;
    }
    for warning in warnings {
        writeln!(stdout(), "warning: {warning}")?;
    }
    Ok(())
}
