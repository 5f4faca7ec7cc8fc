//! `oneflight test`: whether a client does what its callers, its upstream and its host expect, tried against an upstream
//! that misbehaves on purpose.
//!
//! | module | holds |
//! |---|---|
//! | `situations` | what is tried, and what each outcome means |
//! | `kit` | calls the client, and keeps what was found |
//! | `tested_client` | the client, loaded as `get` and `serve` do |
//! | `kit_upstream`, `good_answer` | the upstream, and its responses |
//! | `seen_request` | what the upstream saw |
//! | `log_recorder` | what the host logged |
//! | `finding`, `report`, `junit` | what is reported |

mod finding;
mod good_answer;
mod junit;
mod kit;
mod kit_upstream;
mod log_recorder;
mod report;
mod seen_request;
mod situations;
mod tested_client;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use oneflight::config::{CompileConfig, Component, RegistryConfig};
use oneflight::printable::{Escape, escape};
use tracing::level_filters::LevelFilter;

use self::good_answer::GoodAnswer;
use self::kit::Kit;
use self::kit_upstream::{KitUpstream, SeenRequests};
use self::log_recorder::LogRecorder;
use self::report::{Colours, KitReport};
use self::tested_client::{ClientSpec, UPSTREAM};
use super::client::Variable;
use super::client::component;
use super::compile::CompileFlags;
use super::loading::LoadContext;
use super::log;
use super::registries::{AccessFlags, RegistryFlags};
use super::stderr::{Stderr, print_line};

/// The largest answer that `--answer` reads: 1 MiB.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The exit code of a test that could not be run.
const NOT_RUN: u8 = 2;

/// Tests a client: calls it while an upstream on this machine answers as upstreams do on bad days.
///
/// The upstream answers every path with the same JSON array, [{"id": "a", ...}, {"id": "b", ...}], or what --answer has.
/// For each situation it prints what was right, what a caller would see, and what to change.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestCommand {
    /// The component: a .wasm file, or a reference of a registry, oci://REGISTRY/NAME@sha256:DIGEST or :TAG. By default
    /// the built-in client.
    #[arg(value_name = "FILE", value_parser = component())]
    file: Option<Component>,

    /// The setting from which the client reads the upstream's URL.
    #[arg(long, value_name = "NAME", default_value = "BASE_URL")]
    base_url_setting: String,

    /// Another setting of the client. {upstream} in it stands for the upstream's URL, http://127.0.0.1:PORT.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Variable>,

    /// Sets an environment variable of the guest to the value that it has in oneflight's own environment.
    #[arg(long, value_name = "NAME")]
    set_from_env: Vec<String>,

    /// The call of a typed function as WAVE, with {key} in place of the key, as in 'get-order("a", "{key}")'. It must be
    /// one that only reads: its callers share a flight.
    #[arg(long, value_name = "CALL")]
    call: Option<String>,

    /// A JSON file with the body of the usual answer, for clients that expect another form.
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,

    /// The port of the upstream, for clients whose URL is fixed; 0 chooses a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,

    /// Also writes the report as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    access: AccessFlags,
}

const EXAMPLES: &str = "\
Examples:
  oneflight test my-client.wasm
  oneflight test my-client.wasm --base-url-setting UPSTREAM --junit report.xml
  oneflight test orders.wasm --call 'get-order(\"acme\", \"{key}\")' --answer order.json
  oneflight test --set 'BASE_URL={upstream}/items/{x}'        tests the built-in client

Exit codes:
  0  no situation failed; there may be advice
  1  a situation failed
  2  the test could not be run: the command line is invalid, or the component cannot run";

impl TestCommand {
    /// Runs the test. `level` is that of the log on stderr, if it was set.
    pub(super) async fn run(self, level: Option<LevelFilter>) -> anyhow::Result<ExitCode> {
        let recorder = LogRecorder::default();
        log::start_recording(level.map(log::at_level), recorder.clone());
        let report = match self.report(recorder).await {
            Ok(report) => report,
            Err(error) => {
                let text = format!("{error:#}");
                print_line!(
                    "error: {}",
                    escape(&text, Escape::Rust, |char| char != '\n')
                );
                return Ok(ExitCode::from(NOT_RUN));
            }
        };
        if let Some(file) = &self.junit {
            let written = junit::junit(&report).and_then(|xml| std::fs::write(file, xml));
            if let Err(error) = written {
                print_line!("error: could not write {}: {error}", file.display());
                return Ok(ExitCode::from(NOT_RUN));
            }
        }
        if self.json {
            let json = serde_json::to_string(&report)?;
            writeln!(stdout(), "{}", escape(&json, Escape::Json, |_| true))?;
        } else {
            let is_coloured = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let colours = if is_coloured {
                Colours::On
            } else {
                Colours::Off
            };
            writeln!(stdout(), "{}", report.table(colours))?;
        }
        Ok(if report.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn report(&self, log: LogRecorder) -> anyhow::Result<KitReport> {
        let good = match &self.answer {
            Some(file) => read_answer(file)?,
            None => GoodAnswer::default(),
        };
        let compile = self.compile.over(CompileConfig::default());
        let registry = self.registry.over(RegistryConfig::default());
        let context = LoadContext::new(&compile, &registry)?;
        let component = self.file.clone().unwrap_or_default();
        let read = context.read(&component, &self.access.access()?).await?;
        let read = read.with_context(|| format!("cannot run {component}"))?;
        let engine = context.engine;
        let spec = self.spec(component, read.binary);
        let upstream = KitUpstream::start(self.port).await;
        let upstream = upstream.with_context(|| {
            let port = self.port;
            format!("could not listen on port {port} of 127.0.0.1; choose another one with --port")
        })?;
        let client = spec.load(&engine, &upstream.origins(), |_| ()).await?;
        // Before the first situation: a call that cannot be made is a mistake of the command line.
        client.call_with(kit::PLAIN_KEY)?;
        let mut kit = Kit {
            upstream,
            client,
            good,
            log,
            plain: SeenRequests::default(),
            crash: None,
            findings: Vec::new(),
            progress: progress(self.json),
        };
        let began = Instant::now();
        let ran = situations::run(&mut kit, &spec, &engine).await;
        (kit.progress)(0, "");
        ran?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(KitReport::new(
            spec.component.to_string(),
            kit.findings,
            situations::NUMBER,
            seconds,
        ))
    }

    fn spec(&self, component: Component, binary: Arc<[u8]>) -> ClientSpec {
        let mut settings: Vec<_> = self
            .set
            .iter()
            .map(|Variable(name, value)| (name.clone(), value.clone()))
            .collect();
        let is_set = |name: &String| settings.iter().any(|(of, _)| of == name);
        if !is_set(&self.base_url_setting) && !self.set_from_env.contains(&self.base_url_setting) {
            settings.push((self.base_url_setting.clone(), UPSTREAM.to_owned()));
        }
        ClientSpec {
            component,
            binary,
            settings,
            from_environment: self.set_from_env.clone(),
            call: self.call.clone(),
        }
    }
}

fn read_answer(file: &Path) -> anyhow::Result<GoodAnswer> {
    let name = file.display();
    let unreadable = || format!("could not read {name}");
    let metadata = file.metadata().with_context(unreadable)?;
    ensure!(
        metadata.is_file() && metadata.len() <= MAX_ANSWER_BYTES,
        "expected a file of at most 1 MiB at {name}, got another one; pass a shorter answer"
    );
    let text = std::fs::read_to_string(file).with_context(unreadable)?;
    GoodAnswer::parse(text)
        .with_context(|| format!("expected JSON in {name}, the body of an answer; correct it"))
}

/// Shows on a terminal which situation is being tried, on one line that is rewritten, and cleared by number 0.
fn progress(is_json: bool) -> Box<dyn FnMut(usize, &'static str) + Send> {
    if is_json || !stderr().is_terminal() {
        return Box::new(|_, _| ());
    }
    Box::new(|number, title| {
        let text = match number {
            0 => String::new(),
            number => format!("{number}/{}: {title}", situations::NUMBER),
        };
        // It never fails.
        let _ = write!(Stderr, "\r\x1b[K{text}");
    })
}
