//! Flights through the built-in client beside the same requests made natively, and `oneflight serve`
//! beside `wasmtime serve`, measured in turns.
//!
//! ```text
//! cargo run --release --locked -p oneflight-bench-guest                # some minutes
//! cargo run --release --locked -p oneflight-bench-guest -- --quick     # whether it runs, in seconds
//! cargo run --release --locked -p oneflight-bench-guest -- --json      # for a program to read
//! ```
//!
//! The method is [`harness`]'s: whoever is compared has a
//! turn in each round, and a ratio is the median of the rounds'. The upstream is a process of its own,
//! and so is whoever's memory is measured. README.md beside this package says what it came to.

#[expect(unreachable_pub, reason = "tests use it as a library's")]
#[path = "../../../src/binary.rs"]
mod binary;
mod flights;
mod idle;
mod load;
mod native;
mod process;
mod servers;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use harness::machine::Machine;
use harness::report::{Cell, Report, Section, Table};
use harness::turns::Rounds;

use self::process::Server;

/// Measures flights through the built-in client, and prints one table.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Run everything small: it shows that it runs, and the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The other host of guests.
    #[arg(long, value_name = "PROGRAM", default_value = "wasmtime")]
    wasmtime: PathBuf,
    #[command(subcommand)]
    process: Option<Process>,
}

/// What this program is when it starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Process {
    /// An upstream.
    Upstream,
    /// A host with this many idle instances, which prints the bytes that one of them takes.
    Idle {
        /// `host:port`.
        upstream: String,
        /// How many.
        instances: usize,
    },
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    /// How long one contestant's turn takes.
    turn: Duration,
    /// Instances that are idle at the same time.
    idle: usize,
}

impl Effort {
    const FULL: Self = Self {
        rounds: 15,
        turn: Duration::from_millis(400),
        idle: 200,
    };
    const QUICK: Self = Self {
        rounds: 1,
        turn: Duration::from_millis(20),
        idle: 8,
    };
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.process {
        Some(Process::Upstream) => return upstream::run(),
        Some(Process::Idle {
            upstream,
            instances,
        }) => return idle::run(&upstream, instances),
        None => {}
    }
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let machine = Machine::this(&arguments.wasmtime.to_string_lossy(), &["--version"]);
    let upstream = Server::start(&mut process::this(&["upstream"])?, upstream::LISTENING)?;
    let runtime = tokio::runtime::Runtime::new()?;
    // Not on the standard output, which may be read by a program.
    eprintln!("measuring flights");
    let (mut groups, mut marks) = flights::run(&runtime, &effort, &upstream.address)?;
    eprintln!("measuring servers");
    let (group, servers) = servers::run(&runtime, &effort, &arguments.wasmtime, &upstream.address)?;
    groups.push(group);
    marks.extend(servers);
    marks.push(idle::mark(&effort, &upstream.address)?);
    let report = Report {
        machine,
        quick: arguments.quick,
        sections: vec![Section {
            name: "flights",
            tables: vec![table(&groups)],
            marks,
        }],
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Contestants that were measured against each other: the microseconds that each took, by round.
#[derive(Debug)]
struct Group {
    name: String,
    rounds: Rounds<f64, &'static str>,
    /// Who could not take part, and for want of what.
    absent: Option<(&'static str, &'static str)>,
}

fn table(groups: &[Group]) -> Table {
    let columns = ["µs", "each second", "to its group's first"];
    let mut table = Table::new(
        "what a flight takes, all that are under way together",
        columns,
    );
    for Group {
        name,
        rounds,
        absent,
    } in groups
    {
        let first = rounds.entrants().next();
        for entrant in rounds.entrants() {
            let micros = rounds.median(entrant);
            let ratio = first.map_or(f64::NAN, |first| rounds.ratio(entrant, first));
            let cells = vec![
                Cell::Amount(micros),
                Cell::Amount(1e6 / micros),
                Cell::Ratio(ratio),
            ];
            table.push(format!("{name}: {entrant}"), cells);
        }
        if let Some((entrant, missing)) = absent {
            table.push(format!("{name}: {entrant}"), vec![Cell::NotRun(missing)]);
        }
    }
    table
}
