//! `oneflight demo`: shows duplicate calls, and the same callers with one shared call.

mod live;
mod recorder;
mod run;
mod showcase;
mod timeline;
mod upstream;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use oneflight::client::Client;
use oneflight::{Call, ClientMetrics, Settings, Stack, Unshared};
use serde::Serialize;
use tokio::task::JoinSet;

use self::live::{can_show, live};
use self::recorder::{Lane, Recorded, Recorder, milliseconds};
use self::run::{DemoRun, Mode};
use self::showcase::{Addresses, Showcase, ShowcaseOptions};
use self::timeline::{LINE_WIDTH, Style, draw, table};
use self::upstream::DemoUpstream;
use super::client::NAME;
use super::compile::CompileFlags;
use super::loading::load_builtin;
use super::network::address;

/// Demonstrates duplicate calls: two fetchers, then 100 callers, request the same items from a small upstream, first
/// without sharing, then with one shared call.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// How long the upstream takes to respond, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=5_000))]
    delay: u64,

    /// Keeps a service and its upstream running afterwards, to try with curl.
    #[arg(long)]
    serve: bool,

    /// The same as --serve, with two fetchers that call repeatedly, so that the dashboard at the admin address has
    /// data.
    #[arg(long)]
    open: bool,

    /// The address for callers, with --serve and --open; port 0 chooses a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,

    /// The address of the admin API and the dashboard, with --serve and --open.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address)]
    admin: SocketAddr,

    /// Prints one JSON object with all counts and times.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compile: CompileFlags,
}

/// The output of --json.
#[derive(Debug, Serialize)]
struct DemoReport {
    upstream_delay_ms: u64,
    runs: Vec<DemoRun>,
    /// The addresses of the service, with --serve and --open.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Addresses>,
}

/// How the timeline is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// To a terminal, redrawn while it grows.
    Live,
    /// Once, when the run has ended.
    Complete,
    /// Not at all.
    Hidden,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let recorder = Arc::new(Recorder::default());
        let delay = Duration::from_millis(self.delay);
        let upstream = DemoUpstream::start(delay, Arc::clone(&recorder)).await?;
        let settings = Settings::new(NAME)
            .env("BASE_URL", &format!("{}/items", upstream.origin()))
            .allow(&upstream.origin())?;
        let engine = self.compile.engine()?;
        let component = load_builtin(&engine, settings.clone()).await?;
        let output = if self.json {
            Output::Hidden
        } else if can_show(LINE_WIDTH) {
            Output::Live
        } else {
            Output::Complete
        };
        if output != Output::Hidden {
            writeln!(
                stdout(),
                "An upstream that takes {} ms, and the built-in client: a component of {} KB.\n",
                self.delay,
                component.report().bytes / 1_000
            )?;
        }

        let harness = DemoHarness {
            recorder: Arc::clone(&recorder),
            upstream: &upstream,
            output,
        };
        let recorded = Recorded::new(component.clone(), recorder);
        let mut runs = Vec::new();
        for callers in [2, 100] {
            for mode in [Mode::StraightThrough, Mode::SingleFlight] {
                // A new key for each run.
                let call = Call::from(format!("{callers}-{}", mode.name()));
                runs.push(match mode {
                    Mode::StraightThrough => {
                        harness
                            .run(mode, Unshared::new(recorded.clone()), callers, &call)
                            .await?
                    }
                    Mode::SingleFlight => {
                        let metrics = ClientMetrics::default();
                        let client = Stack::new(recorded.clone(), &settings, metrics);
                        harness.run(mode, client, callers, &call).await?
                    }
                });
            }
        }
        harness.recorder.stop();
        let showcase = if self.open || self.serve {
            let options = ShowcaseOptions {
                callers: self.listen,
                admin: self.admin,
                fetchers: self.open,
            };
            Some(Showcase::new(options, &engine, component, settings).await?)
        } else {
            None
        };
        if output == Output::Hidden {
            let document = DemoReport {
                upstream_delay_ms: self.delay,
                runs,
                service: showcase.as_ref().map(Showcase::addresses),
            };
            writeln!(stdout(), "{}", serde_json::to_string(&document)?)?;
        } else {
            write!(stdout(), "{}", table(&runs))?;
        }
        match showcase {
            Some(showcase) => showcase.run(&upstream).await?,
            None if output == Output::Hidden => {}
            None => writeln!(
                stdout(),
                "Try it with curl:         oneflight demo --serve\n\
                 See the dashboard:        oneflight demo --open"
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What all runs share.
struct DemoHarness<'a> {
    recorder: Arc<Recorder>,
    upstream: &'a DemoUpstream,
    output: Output,
}

impl DemoHarness<'_> {
    /// Has `callers` tasks make the same `call` at the same time, and prints the timeline.
    async fn run<C: Client + Clone>(
        &self,
        mode: Mode,
        client: C,
        callers: usize,
        call: &Call,
    ) -> anyhow::Result<DemoRun> {
        let before = self.upstream.requests();
        let began = Instant::now();
        let calls = self.call_all(client, callers, call);
        if self.output == Output::Live {
            // A little more than the run takes, so that the scale does not change while the timeline grows.
            let min_length = milliseconds(self.upstream.delay()) * 1.1;
            let frame = || {
                let spans = self.recorder.so_far(began);
                draw(mode, callers, &spans, min_length, Style::Coloured)
            };
            live(calls, frame, stdout()).await?;
        } else {
            calls.await?;
        }
        let milliseconds = milliseconds(began.elapsed());
        let spans = self.recorder.take(began);
        let style = match self.output {
            Output::Live => Some(Style::Coloured),
            Output::Complete => Some(Style::Plain),
            Output::Hidden => None,
        };
        if let Some(style) = style {
            let timeline = draw(mode, callers, &spans, milliseconds, style);
            writeln!(stdout(), "{timeline}")?;
        }
        Ok(DemoRun {
            mode,
            callers,
            guest_calls: spans
                .iter()
                .filter(|span| span.lane == Lane::GuestCall)
                .count(),
            upstream_requests: self.upstream.requests() - before,
            milliseconds,
            spans,
        })
    }

    async fn call_all<C: Client + Clone>(
        &self,
        client: C,
        callers: usize,
        call: &Call,
    ) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (client, call) = (client.clone(), call.clone());
            let recorder = Arc::clone(&self.recorder);
            tasks.spawn(async move {
                let _span = recorder.begin(Lane::Caller);
                client.call(call.into()).await.result
            });
        }
        while let Some(result) = tasks.join_next().await {
            result?.context("the demo's own upstream failed")?;
        }
        Ok(())
    }
}
