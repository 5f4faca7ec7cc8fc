//! The commands, one a file, and what they have in common: the log, and the flags of a client.

mod check;
mod client;
mod demo;
mod get;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

/// Runs your client as a WebAssembly component. Callers who ask for the same thing at the same time
/// share one call.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What the log on stderr shows: off, error, warn, info, debug or trace.
    ///
    /// One line per flight is at info, or at warn where it failed. Keys are shown as hashes.
    /// [default: info for serve, warn for the others]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<LevelFilter>,

    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  oneflight demo                                     see what it does, in a second
  oneflight get 42 --base-url http://localhost:3000/items
  oneflight serve --base-url http://localhost:3000/items
  oneflight check my-client.wasm                     will this component run?

Exit codes:
  0  all went well
  1  a call brought no items, the component cannot run, or the command failed
  2  the command line was not understood";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Get(get::Get),
    Serve(serve::Serve),
    Check(check::Check),
}

impl Arguments {
    /// The log goes to stderr, coloured only on a terminal.
    pub(crate) fn start_log(&self) {
        let level = self.log.unwrap_or(match self.command {
            Command::Serve(_) => LevelFilter::INFO,
            Command::Demo(_) | Command::Get(_) | Command::Check(_) => LevelFilter::WARN,
        });
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Demo(demo) => demo.run().await,
            Command::Get(get) => get.run().await,
            Command::Serve(serve) => serve.run().await,
            Command::Check(check) => check.run().await,
        }
    }
}

/// `1 flight`, `2 flights`.
fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
