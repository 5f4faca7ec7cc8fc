//! `oneflight demo`: the duplicates, seen; and the same with one shared call.

mod live;
mod recorder;
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
use oneflight::config::CompileConfig;
use oneflight::{Call, ClientMetrics, Settings, Stack, Unshared};
use serde::Serialize;
use tokio::task::JoinSet;

use self::live::{can_show, live};
use self::recorder::{Lane, Recorded, Recorder, Span, milliseconds};
use self::showcase::{Addresses, Showcase};
use self::timeline::{LINE, Paint, draw, figures};
use self::upstream::Upstream;
use super::client::NAME;
use super::compile::{CompileFlags, engine};
use super::load_builtin;
use super::serve::address;

/// Shows the duplicates and their cure: two fetchers, then 100 callers, ask a small upstream for the
/// same items, first straight through, then with one shared call.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// How long the upstream takes to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=5_000))]
    delay: u64,

    /// Afterwards keeps the service and its upstream running, to play with by curl.
    #[arg(long)]
    serve: bool,

    /// The same, with two fetchers that go on asking, and prints the address of a page that shows them.
    #[arg(long)]
    open: bool,

    /// The address for --serve and --open; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,

    /// The address for administration, and so of the page.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address)]
    admin: SocketAddr,

    /// Prints one JSON object with all figures and times.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compile: CompileFlags,
}

/// What --json prints.
#[derive(Debug, Serialize)]
struct Document {
    upstream_delay_ms: u64,
    runs: Vec<Run>,
    /// Where the service is, with --serve and --open.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Addresses>,
}

/// One way of asking, by a number of callers at once, and what it came to.
#[derive(Debug, Serialize)]
struct Run {
    way: Way,
    callers: usize,
    guest_calls: usize,
    upstream_requests: u64,
    milliseconds: f64,
    /// When each caller, guest call and upstream request began and ended.
    #[serde(rename = "timeline")]
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// Every caller calls the component.
    StraightThrough,
    /// The same component, decorated.
    SingleFlight,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::StraightThrough => "straight through",
            Self::SingleFlight => "single flight",
        }
    }
}

/// Where the picture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// A terminal, which sees it grow.
    Live,
    /// Anything else, which gets it when it is whole.
    Whole,
    /// Nowhere.
    Nothing,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let recorder = Arc::new(Recorder::default());
        let delay = Duration::from_millis(self.delay);
        let upstream = Upstream::start(delay, Arc::clone(&recorder)).await?;
        let settings = Settings::new(NAME)
            .env("BASE_URL", &format!("{}/items", upstream.origin()))
            .allow(&upstream.origin())?;
        // Room for the two clients of the showcase.
        let limits = [&settings.limits; 2];
        let engine = engine(limits, &self.compile.over(CompileConfig::default()))?;
        let component = load_builtin(&engine, settings.clone()).await?;
        let show = if self.json {
            Show::Nothing
        } else if can_show(LINE) {
            Show::Live
        } else {
            Show::Whole
        };
        if show != Show::Nothing {
            writeln!(
                stdout(),
                "An upstream that takes {} ms, and the built-in client: a component of {} KB.\n",
                self.delay,
                component.report().bytes / 1_000
            )?;
        }

        let stage = Stage {
            recorder: Arc::clone(&recorder),
            upstream: &upstream,
            show,
        };
        let bare = Recorded::new(component.clone(), recorder);
        let mut runs = Vec::new();
        for callers in [2, 100] {
            for way in [Way::StraightThrough, Way::SingleFlight] {
                // A new key each time, as if nobody had asked before.
                let call = Call::from(format!("{callers}-{}", way.name()));
                runs.push(match way {
                    Way::StraightThrough => {
                        stage
                            .run(way, Unshared::new(bare.clone()), callers, &call)
                            .await?
                    }
                    Way::SingleFlight => {
                        let metrics = ClientMetrics::default();
                        let client = Stack::new(bare.clone(), &settings, metrics);
                        stage.run(way, client, callers, &call).await?
                    }
                });
            }
        }
        stage.recorder.stop();
        let showcase = if self.open || self.serve {
            Some(Showcase::new(&self, &engine, component, settings).await?)
        } else {
            None
        };
        if show == Show::Nothing {
            let document = Document {
                upstream_delay_ms: self.delay,
                runs,
                service: showcase.as_ref().map(Showcase::addresses),
            };
            writeln!(stdout(), "{}", serde_json::to_string(&document)?)?;
        } else {
            write!(stdout(), "{}", figures(&runs))?;
        }
        match showcase {
            Some(showcase) => showcase.run(&upstream).await?,
            None if show == Show::Nothing => {}
            None => writeln!(
                stdout(),
                "Play with it:        oneflight demo --serve\n\
                 See it in a browser: oneflight demo --open"
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What all runs have in common.
struct Stage<'a> {
    recorder: Arc<Recorder>,
    upstream: &'a Upstream,
    show: Show,
}

impl Stage<'_> {
    /// Lets `callers` tasks ask `client` for `key` at once, and shows it.
    async fn run<C: Client + Clone>(
        &self,
        way: Way,
        client: C,
        callers: usize,
        call: &Call,
    ) -> anyhow::Result<Run> {
        let before = self.upstream.requests();
        let began = Instant::now();
        let asking = self.ask(client, callers, call);
        if self.show == Show::Live {
            // A little more than it takes, so that the picture keeps its scale while it grows.
            let least = milliseconds(self.upstream.delay()) * 1.1;
            let frame = || {
                let spans = self.recorder.so_far(began);
                draw(way, callers, &spans, least, Paint::Coloured)
            };
            live(asking, frame, stdout()).await?;
        } else {
            asking.await?;
        }
        let milliseconds = milliseconds(began.elapsed());
        let spans = self.recorder.take(began);
        let paint = match self.show {
            Show::Live => Some(Paint::Coloured),
            Show::Whole => Some(Paint::Plain),
            Show::Nothing => None,
        };
        if let Some(paint) = paint {
            let picture = draw(way, callers, &spans, milliseconds, paint);
            writeln!(stdout(), "{picture}")?;
        }
        Ok(Run {
            way,
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

    async fn ask<C: Client + Clone>(
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
            result?.context("the demo's own upstream did not answer")?;
        }
        Ok(())
    }
}
