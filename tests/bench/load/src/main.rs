//! Oneflight beside nginx, Varnish, HAProxy and a floor, under the same load, measured in turns.
//!
//! ```text
//! cargo run --release --locked -p oneflight-bench-load               # everything, some minutes
//! cargo run --release --locked -p oneflight-bench-load -- --quick    # whether it runs, in seconds
//! cargo run --release --locked -p oneflight-bench-load -- --json     # for a program to read
//! ```
//!
//! Everything is on loopback. The upstream and every target are processes of their own, the callers are
//! this one, and all that was started ends with it. Each case is asked of all targets in every round, in a
//! different order each round; figures are medians over the rounds, ratios medians of the rounds' ratios.
//! What is measured and how it is counted stands in the package's README, with the figures.

mod ask;
#[expect(unreachable_pub, reason = "tests use it as a library's")]
#[path = "../../../src/binary.rs"]
mod binary;
mod callers;
mod cases;
mod floor;
mod machine;
mod marks;
mod process;
mod report;
mod targets;
mod upstream;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::binary::binary;
use self::cases::{Case, Effort, Turn};
use self::machine::Machine;
use self::report::{Figures, Found, Mark, Row};
use self::targets::{FLOOR, Target};

/// Measures oneflight beside others and prints one table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run everything small: it shows that it runs and what is counted; times mean nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Run only the cases whose name has this in it, for a profile of one.
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,
    /// Measure this build of oneflight, instead of one that is made first from what is here.
    #[arg(long, value_name = "FILE")]
    oneflight: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program is to its own processes.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Part {
    /// The upstream.
    Upstream,
    /// The floor.
    Floor { upstream: SocketAddr },
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    /// Whether times mean nothing.
    quick: bool,
    rows: Vec<Row>,
    marks: Vec<Mark>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match arguments.part {
        Some(Part::Floor { .. }) => Builder::new_multi_thread(),
        // The rest leaves the cores to what is measured.
        _ => Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match arguments.part {
            Some(Part::Upstream) => upstream::run().await,
            Some(Part::Floor { upstream }) => floor::run(upstream).await,
            // Dropping the measurement ends its processes.
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
    let machine = Machine::this();
    raise_descriptors(effort.descriptors())?;
    let oneflight = arguments.oneflight.as_deref().unwrap_or_else(|| binary());
    let folder = Folder::new()?;
    let (_upstream, upstream) = targets::itself(&["upstream"]).await?;
    let targets = targets::start(upstream, oneflight, folder.path()).await?;
    let mut cases = effort.cases();
    cases.retain(|case| case.name.contains(&arguments.case));
    let mut rows = Vec::new();
    for case in &cases {
        // Not on the standard output, which may be read by a program.
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

/// All rounds of one case, each beginning with another target.
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
    println!("{}\n", report.machine);
    report::print(&report.rows);
    let meaning = if report.quick {
        ", of a quick run: times mean nothing"
    } else {
        ""
    };
    println!("\nmarks{meaning}\n");
    for mark in &report.marks {
        println!("  {mark}");
    }
    Ok(())
}

/// Lets this process, and those it starts, have as many files open as they need: as many as the system
/// lets it, and no fewer than `needed`.
fn raise_descriptors(needed: u64) -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = |descriptors| Rlimit {
        current: descriptors,
        maximum: descriptors,
    };
    // A target that shares nothing needs twice as many; only root may raise what is the most.
    let wanted = Some(4 * needed).max(most);
    if most.is_some() && setrlimit(Resource::Nofile, limit(wanted)).is_err() {
        setrlimit(Resource::Nofile, limit(most))?;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(
        limit >= needed,
        "found a limit of {limit} open files, needed {needed}: raise it with ulimit -Hn"
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

/// A folder for what targets keep, removed with this value.
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
        // Where it fails, a folder is left among the temporary ones.
        let _ = fs::remove_dir_all(&self.0);
    }
}
