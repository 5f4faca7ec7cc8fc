//! The commands, one a file, and what they have in common: the log, and the flags of a client.

mod admin_client;
mod allocator;
mod check;
mod client;
mod compile;
mod config;
mod demo;
mod explain;
mod flag;
mod format;
mod get;
mod log;
mod observe;
mod progress;
mod serve;
mod traces;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use oneflight::component::ShapeLimit;
use oneflight::config::LogFormat;
use oneflight::{BUILTIN, CompileLimits, ComponentClient, Engine, LoadError, Settings};
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use self::progress::{Shown, with_progress};

/// Runs your client as a WebAssembly component. Callers who ask for the same thing at the same time
/// share one call.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What the log on stderr shows: off, error, warn, info, debug or trace.
    ///
    /// One line per flight is at info, or at warn where it failed. Keys are shown as hashes.
    /// [default: info for serve, or what its file says; warn for the others]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<LevelFilter>,

    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  oneflight demo                                     see what it does, in a second
  oneflight get 42 --base-url 'http://localhost:3000/items?id={x}'
  oneflight serve --base-url 'http://localhost:3000/items?id={x}'
  oneflight observe --for 60s                        who asks a running service twice?
  oneflight explain 42                               what would happen to a caller of it now?
  oneflight check my-client.wasm                     will this component run?
  oneflight config check oneflight.toml              will this configuration do?

Exit codes:
  0  all went well
  1  a call failed, the component cannot run, or the command failed
  2  the command line was not understood";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Get(get::Get),
    Serve(serve::Serve),
    Observe(observe::Observe),
    Explain(explain::Explain),
    Check(check::Check),
    Config(config::ConfigCommand),
    #[command(hide = true)]
    Compile(compile::CompileCommand),
}

impl Arguments {
    /// Runs the command that is a process for another one, if it is that: it has no log and no
    /// runtime, as both would count as the compiler's.
    pub(crate) fn run_as_child(&self) -> Option<ExitCode> {
        match &self.command {
            Command::Compile(compile) => Some(compile.run()),
            _ => None,
        }
    }

    /// The threads that the command needs.
    pub(crate) fn runtime(&self) -> Builder {
        match self.command {
            // On one thread all callers have asked before the first flight takes off. On several, a
            // fast upstream could answer the first caller before the last has come.
            Command::Get(_) => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        }
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        // A service's log is as its configuration says, which it has yet to read.
        if !matches!(self.command, Command::Serve(_)) {
            let shown = self.log.map_or_else(log::quiet, log::from);
            log::start(shown, LogFormat::default(), None);
        }
        match self.command {
            Command::Demo(demo) => demo.run().await,
            Command::Get(get) => get.run().await,
            Command::Serve(serve) => serve.run(self.log).await,
            Command::Observe(observe) => observe.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::Check(check) => check.run().await,
            Command::Config(config) => config.run().await,
            Command::Compile(compile) => Ok(compile.run()),
        }
    }
}

/// Loads the component in `file`. The inner result is the component's own: whether it can be run.
async fn load_file(
    engine: &Engine,
    file: &Path,
    settings: Settings,
) -> anyhow::Result<Result<ComponentClient, LoadError>> {
    let unread = || format!("could not read {}", file.display());
    // Before it is read into memory.
    let (found, limit) = (
        file.metadata().with_context(unread)?.len(),
        CompileLimits::default().max_component_bytes as u64,
    );
    if found > limit {
        let part = ShapeLimit::Component;
        return Ok(Err(LoadError::TooComplex { part, found, limit }));
    }
    let binary = std::fs::read(file).with_context(unread)?;
    Ok(load(engine, &file.display().to_string(), binary, settings).await)
}

/// Loads the built-in client.
async fn load_builtin(engine: &Engine, settings: Settings) -> Result<ComponentClient, LoadError> {
    load(engine, "the built-in client", BUILTIN, settings).await
}

/// Loads `binary`; where that takes longer than a person expects, says so on stderr.
async fn load(
    engine: &Engine,
    name: &str,
    binary: impl Into<Arc<[u8]>>,
    settings: Settings,
) -> Result<ComponentClient, LoadError> {
    let binary = binary.into();
    let what = format!("compiling {name} ({} KB)", binary.len() / 1_000);
    let loading = ComponentClient::load(engine, binary, settings);
    let stderr = std::io::stderr();
    let shown = if stderr.is_terminal() {
        Shown::Live
    } else {
        Shown::Logged
    };
    with_progress(&what, loading, shown, stderr).await
}

/// `1 flight`, `2 flights`.
fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
