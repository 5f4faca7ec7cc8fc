//! `oneflight demo`: the duplicates, seen; and the same with one shared call.

mod picture;
mod recorder;
mod upstream;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use oneflight::client::Client;
use oneflight::clients::{Clients, Served};
use oneflight::server::{Doors, Service};
use oneflight::{ComponentClient, FrontLimits, Key, Settings, decorate};
use serde::Serialize;
use tokio::task::JoinSet;

use self::picture::{draw, figures};
use self::recorder::{Lane, Recorded, Recorder, Span, milliseconds};
use self::upstream::Upstream;
use super::client::NAME;
use super::compile::CompileFlags;
use super::load_builtin;
use super::serve::{address, listen, shutdown};

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

    /// The address for --serve; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_parser = address, requires = "serve"
    )]
    listen: SocketAddr,

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

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let recorder = Arc::new(Recorder::default());
        let delay = Duration::from_millis(self.delay);
        let upstream = Upstream::start(delay, Arc::clone(&recorder)).await?;
        let settings = Settings::new(NAME)
            .env("BASE_URL", &format!("{}/items", upstream.origin()))
            .allow(&upstream.origin())?;
        let engine = self.compile.engine(&settings.limits)?;
        let component = load_builtin(&engine, settings.clone()).await?;
        if !self.json {
            writeln!(
                stdout(),
                "An upstream that takes {} ms, and the built-in client: a component of {} KB.\n",
                self.delay,
                component.report().bytes / 1_000
            )?;
        }

        let bare = Recorded::new(component.clone(), Arc::clone(&recorder));
        let mut runs = Vec::new();
        for callers in [2, 100] {
            for way in [Way::StraightThrough, Way::SingleFlight] {
                // A new key each time, as if nobody had asked before.
                let key = Key::from(format!("{callers}-{}", way.name()));
                let run = match way {
                    Way::StraightThrough => {
                        ask(way, bare.clone(), callers, &key, &recorder, &upstream).await?
                    }
                    Way::SingleFlight => {
                        let client = decorate(bare.clone(), &settings);
                        ask(way, client, callers, &key, &recorder, &upstream).await?
                    }
                };
                if !self.json {
                    writeln!(stdout(), "{}", draw(&run))?;
                }
                runs.push(run);
            }
        }
        if self.json {
            let document = Document {
                upstream_delay_ms: self.delay,
                runs,
            };
            writeln!(stdout(), "{}", serde_json::to_string(&document)?)?;
        } else {
            write!(stdout(), "{}", figures(&runs))?;
        }
        if self.serve {
            self.serve(Served::new(component, settings), &upstream)
                .await?;
        } else if !self.json {
            writeln!(stdout(), "Play with it:  oneflight demo --serve")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(
        &self,
        served: Served<ComponentClient>,
        upstream: &Upstream,
    ) -> anyhow::Result<()> {
        let listener = listen(self.listen, "--listen")?;
        let shutdown = shutdown()?;
        let (url, origin) = (listener.local_addr()?, upstream.origin());
        eprintln!("listening on http://{url}/v1/{NAME}/items?x=KEY, until Ctrl-C; for example:\n");
        eprintln!("  curl 'http://{url}/v1/{NAME}/items?x=42'");
        eprintln!("  curl '{origin}/count'     # how many requests the upstream has had");
        let clients = Arc::new(Clients::of([served]));
        Service::new(clients, Arc::default(), FrontLimits::default())
            .run(Doors::new(listener), shutdown)
            .await;
        Ok(())
    }
}

/// Lets `callers` tasks ask `client` for `key` at once.
async fn ask<C: Client + Clone>(
    way: Way,
    client: C,
    callers: usize,
    key: &Key,
    recorder: &Arc<Recorder>,
    upstream: &Upstream,
) -> anyhow::Result<Run> {
    let before = upstream.requests();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (client, key, recorder) = (client.clone(), key.clone(), Arc::clone(recorder));
        tasks.spawn(async move {
            let _span = recorder.begin(Lane::Caller);
            client.get_items(key).await.result
        });
    }
    while let Some(result) = tasks.join_next().await {
        result?.context("the demo's own upstream did not answer")?;
    }
    let milliseconds = milliseconds(began.elapsed());
    let spans = recorder.take(began);
    Ok(Run {
        way,
        callers,
        guest_calls: spans
            .iter()
            .filter(|span| span.lane == Lane::GuestCall)
            .count(),
        upstream_requests: upstream.requests() - before,
        milliseconds,
        spans,
    })
}
