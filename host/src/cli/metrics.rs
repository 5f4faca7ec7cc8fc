//! `oneflight metrics`: what a team needs to watch a service with Prometheus and Grafana.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use oneflight::observability::monitoring::{alerts, dashboard};

/// Prints a dashboard for Grafana, or alert rules for Prometheus. The metrics of a service are at /metrics of its admin
/// address.
#[derive(Args, Debug)]
pub(super) struct MetricsCommand {
    #[command(subcommand)]
    action: MetricsAction,
}

#[derive(Debug, Subcommand)]
enum MetricsAction {
    /// Prints a dashboard, the JSON that Grafana imports.
    Dashboard,
    /// Prints alert rules, a YAML file that rule_files of Prometheus can list.
    Alerts,
}

impl MetricsCommand {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match self.action {
            MetricsAction::Dashboard => writeln!(stdout(), "{:#}", dashboard())?,
            MetricsAction::Alerts => write!(stdout(), "{}", alerts())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
