//! The command line: its arguments, and which command runs in what runtime and with what log. There is one file per
//! command; the other modules are shared by several commands.

mod admin_client;
mod allocator;
mod call;
pub(crate) mod capacity;
mod certificate;
mod check;
mod client;
mod compile;
mod completions;
mod component_file;
mod componentize;
mod config;
mod demo;
mod descriptors;
mod dev;
mod explain;
mod fingerprint;
mod flag;
mod format;
mod get;
mod loading;
mod log;
mod man;
mod metrics;
mod network;
mod new;
mod observe;
mod output_file;
mod progress;
mod proxy;
mod pull;
mod push;
mod registries;
mod reload;
mod serve;
pub(crate) mod signals;
pub(crate) mod stderr;
mod summary;
mod test;
mod traces;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use oneflight::config::LogFormat;
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use self::log::LineRates;
use self::signals::Signals;

/// Runs your client as a WebAssembly component. Callers that request the same thing at the same time
/// share one call.
#[derive(Debug, Parser)]
#[command(version = env!("ONEFLIGHT_VERSION"), after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The level of the log on stderr: off, error, warn, info, debug or trace.
    ///
    /// Each flight is one line, at info, or at warn if it failed. Keys are logged as hashes.
    /// [default: info for serve, or the level of its configuration; warn for the other commands]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<LevelFilter>,

    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  oneflight demo                                     see what it does, in a second
  oneflight get 42 --base-url 'http://localhost:3000/items?id={x}'
  oneflight call 'get-order(\"42\")' --component orders.wasm
  oneflight serve --base-url 'http://localhost:3000/items?id={x}'
  oneflight observe --for 60s                        find duplicate calls of a running service
  oneflight explain 42                               predict what happens to a caller of key 42
  oneflight check my-client.wasm                     check that a component can run
  oneflight test my-client.wasm                      test it against an upstream that misbehaves
  oneflight new my-client --lang python              start a client of your own
  oneflight dev my-client                            serve it, and reload it when its source changes
  oneflight push my-client.wasm oci://ghcr.io/acme/my-client:1   push it to a registry
  oneflight config check oneflight.toml              check a configuration file

Exit codes:
  0  success
  1  a call failed, the component cannot run, or the command failed
  2  the command line is invalid; test could not be run";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Get(get::Get),
    Call(call::CallCommand),
    Serve(serve::Serve),
    Observe(observe::Observe),
    Explain(explain::Explain),
    Check(check::Check),
    New(new::New),
    Dev(dev::Dev),
    Componentize(componentize::Componentize),
    Test(test::TestCommand),
    Pull(pull::PullCommand),
    Push(push::PushCommand),
    Config(config::ConfigCommand),
    Metrics(metrics::MetricsCommand),
    Completions(completions::Completions),
    Man(man::ManPages),
    #[command(hide = true)]
    Compile(compile::CompileCommand),
}

impl Arguments {
    /// Runs the command if it is the child process of another command. It has neither log nor runtime: their memory
    /// and threads would count against the limits of the compiler.
    pub(crate) fn run_as_child(&self) -> Option<ExitCode> {
        match &self.command {
            Command::Compile(compile) => Some(compile.run()),
            _ => None,
        }
    }

    /// The runtime that the command needs.
    pub(crate) fn runtime(&self) -> Builder {
        match self.command {
            // On one thread all callers have called before the first flight starts. On several, a fast upstream could
            // answer the first caller before the last one calls.
            Command::Get(_) | Command::Call(_) => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        }
    }

    /// Runs the command. `signals` are those of a service.
    pub(crate) async fn run(self, signals: Option<Signals>) -> anyhow::Result<ExitCode> {
        // The log of `serve` depends on its configuration, which it reads first. `test` records what is logged.
        if !matches!(self.command, Command::Serve(_) | Command::Test(_)) {
            let targets = self.log.map_or_else(log::quiet, log::at_level);
            log::start(targets, LogFormat::default(), LineRates::default(), None);
        }
        match self.command {
            Command::Demo(demo) => demo.run().await,
            Command::Get(get) => get.run().await,
            Command::Call(call) => call.run().await,
            Command::Serve(serve) => {
                let signals = signals.map_or_else(Signals::new, Ok)?;
                serve.run(self.log, signals).await
            }
            Command::Observe(observe) => observe.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::Check(check) => check.run().await,
            Command::New(new) => new.run(),
            Command::Dev(dev) => dev.run(self.log).await,
            Command::Componentize(componentize) => componentize.run(),
            Command::Test(test) => test.run(self.log).await,
            Command::Pull(pull) => pull.run().await,
            Command::Push(push) => push.run().await,
            Command::Config(config) => config.run().await,
            Command::Metrics(metrics) => metrics.run(),
            Command::Completions(completions) => completions.run(&Self::command()),
            Command::Man(man) => man.run(Self::command()),
            Command::Compile(compile) => Ok(compile.run()),
        }
    }
}
