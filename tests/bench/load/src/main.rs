//! Measures oneflight, nginx, Varnish, HAProxy and a lower bound (the floor) under the same load, in turns.
//!
//! ```text
//! cargo run --release --locked -p oneflight-bench-load               # everything, some minutes
//! cargo run --release --locked -p oneflight-bench-load -- --quick    # whether it runs, in seconds
//! cargo run --release --locked -p oneflight-bench-load -- --json     # for a program to read
//! ```
//!
//! Everything is on loopback. The upstream and every target are separate processes, the callers are
//! tasks of this one, and all processes end with it. Each case runs on all targets in every round, in a
//! different order each round; figures are medians over the rounds, ratios medians of the rounds' ratios.
//! What is measured and how it is counted is described in `tests/bench/README.md`, with the figures.

mod callers;
mod cases;
mod floor;
mod key;
mod marks;
mod report;
mod targets;
mod upstream;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use harness::machine::Machine;
use harness::oneflight::binary;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::cases::{Case, Effort, Turn};
use self::report::{Figures, Found, Report, Row};
use self::targets::{FLOOR, Target};

/// Measures oneflight and other proxies under the same load, and prints one table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Take a minute: the counts are valid, the times are not.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Run only the cases with this in their name, for example to profile one.
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,
    /// Measure this binary of oneflight, instead of building one from these sources.
    #[arg(long, value_name = "FILE")]
    oneflight: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The role of this program in the processes that it starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Role {
    /// The upstream.
    Upstream,
    /// The floor.
    Floor { upstream: SocketAddr },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match arguments.role {
        Some(Role::Floor { .. }) => Builder::new_multi_thread(),
        // On one thread, to leave the cores to the targets.
        _ => Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match arguments.role {
            Some(Role::Upstream) => upstream::run().await,
            Some(Role::Floor { upstream }) => floor::run(upstream).await,
            // Dropping the future of `measure` ends its processes.
            None => tokio::select! {
                report = measure(&arguments) => print(&arguments, &report?),
                interrupted = interrupted() => interrupted,
            },
        }
    })
}

async fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let machine = Machine::current(&[
        ("nginx", &["-v"]),
        ("varnishd", &["-V"]),
        ("haproxy", &["-v"]),
    ]);
    raise_descriptors(effort.descriptors())?;
    let oneflight = arguments.oneflight.as_deref().unwrap_or_else(|| binary());
    let folder = Folder::new()?;
    let (_upstream, upstream) = targets::start_self(&["upstream"]).await?;
    let targets = targets::start(upstream, oneflight, folder.path()).await?;
    let mut cases = effort.cases();
    cases.retain(|case| case.name.contains(&arguments.case));
    let mut rows = Vec::new();
    for case in &cases {
        // To stderr, because a program may read the standard output.
        eprintln!("measuring: {}", case.name);
        rows.extend(rounds(case, &targets, upstream).await?);
    }
    Ok(Report {
        machine,
        quick: arguments.quick,
        marks: marks::of(&cases, &rows),
        rows,
    })
}

/// All rounds of one case, each of which begins with the next target.
async fn rounds(case: &Case, targets: &[Target], upstream: SocketAddr) -> anyhow::Result<Vec<Row>> {
    let targets: Vec<_> = targets
        .iter()
        .filter(|target| case.is_for(target.name))
        .collect();
    let mut turns: Vec<Vec<Turn>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 0..case.rounds {
        for place in 0..targets.len() {
            let next = (round + place) % targets.len();
            if let Ok(running) = &targets[next].running {
                let turn = case.turn(running, upstream).await;
                let turn = turn.with_context(|| format!("{}: {}", case.name, targets[next].name));
                turns[next].push(turn?);
            }
        }
    }
    let floor = targets.iter().position(|target| target.name == FLOOR);
    let floor = &turns[floor.context("a floor")?];
    let row = |(target, turns): (&&Target, &Vec<Turn>)| Row {
        case: case.name.clone(),
        target: target.name,
        found: match &target.running {
            Ok(_) => Found::Figures(Figures::of(turns, floor)),
            Err(missing) => Found::NotRun(missing.clone()),
        },
    };
    Ok(targets.iter().zip(&turns).map(row).collect())
}

fn print(arguments: &Arguments, report: &Report) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    print!("{report}");
    Ok(())
}

/// Raises the limit of open files of this process and of those that it starts, as far as the system allows; an
/// error if that is less than `needed`.
fn raise_descriptors(needed: u64) -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = |descriptors| Rlimit {
        current: descriptors,
        maximum: descriptors,
    };
    // A target that shares nothing needs twice as many; only root may raise the hard limit.
    let wanted = Some(4 * needed).max(most);
    if most.is_some() && setrlimit(Resource::Nofile, limit(wanted)).is_err() {
        setrlimit(Resource::Nofile, limit(most))?;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(
        limit >= needed,
        "expected a limit of at least {needed} open files, got {limit}; raise it with ulimit -Hn"
    );
    Ok(())
}

/// SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    bail!("interrupted")
}

/// A folder for the targets' files, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("oneflight-bench-load-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If this fails, the folder stays among the temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
