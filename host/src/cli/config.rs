//! `oneflight config`: is this file one that `serve` can use, and what does it come to.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use oneflight::config::{ClientConfig, Component, Config as File};

use super::client::load_client;
use super::compile::engine;
use super::format::count;

/// Checks or prints a configuration file, as `serve --config` reads it.
#[derive(Args, Debug)]
pub(super) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Says whether the file can be used: its names, units and files, and each client's component.
    Check { file: PathBuf },
    /// Prints what is in effect: values that are not chosen are marked, those of settings hidden.
    Print { file: PathBuf },
}

impl Config {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Check { file } => check(&file).await?,
            What::Print { file } => write!(stdout(), "{}", File::read(&file)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn check(file: &Path) -> anyhow::Result<()> {
    let config = File::read(file)?;
    let limits = config.clients.iter().map(|client| &client.settings.limits);
    let engine = engine(limits, &config.compile)?;
    for client in &config.clients {
        load_client(&engine, client).await?;
    }
    let clients = count(config.clients.len() as u64, "client");
    writeln!(stdout(), "{}: good, {clients}", file.display())?;
    for client in &config.clients {
        writeln!(stdout(), "  {}: {}", client.settings.name, runs(client))?;
    }
    Ok(())
}

fn runs(client: &ClientConfig) -> String {
    match &client.component {
        Component::Builtin => "the built-in client".to_owned(),
        Component::File(file) => file.display().to_string(),
    }
}
