//! Flights through the built-in client beside the same requests made natively, and `oneflight serve`
//! beside `wasmtime serve`, measured in turns.
//!
//! ```text
//! cargo run --release --locked -p oneflight-bench-guest                # some minutes
//! cargo run --release --locked -p oneflight-bench-guest -- --quick     # whether it runs, in seconds
//! cargo run --release --locked -p oneflight-bench-guest -- --json      # for a program to read
//! ```
//!
//! The method is [`harness`]'s: the participants of a comparison have one turn each in every round, and a
//! ratio is the median of the rounds' ratios. The upstream is a separate process, and so is the host whose
//! memory is measured. The figures are in `tests/bench/README.md`.

mod callers;
mod effort;
mod flights;
mod group;
mod idle;
mod native;
mod servers;
mod typed;
mod upstream;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use harness::machine::Machine;
use harness::process::{self, Process};
use harness::report::{Mark, Report, Section};

use self::effort::Effort;
use self::group::Group;

/// Measures flights through the built-in client and prints one table.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Take seconds: this shows that everything runs, and the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The wasmtime to compare with, of the release that the host is built with.
    #[arg(long, value_name = "PROGRAM", default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// Another component with the settings of the built-in client, to measure beside it.
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Measure typed functions only.
    #[arg(long)]
    typed: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The role of this program in the processes that it starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Role {
    /// The upstream.
    Upstream,
    /// A host with idle instances, which prints the resident bytes of one of them.
    Idle {
        /// The address of the upstream.
        upstream: SocketAddr,
        /// The number of instances.
        instances: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Upstream) => return upstream::run(),
        Some(Role::Idle {
            upstream,
            instances,
        }) => return idle::run(upstream, instances),
        None => {}
    }
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    if arguments.typed {
        let (groups, marks) = typed::run(&effort)?;
        return print(&arguments, &groups, marks);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let upstream = Process::start(process::this_program(&["upstream"])?, process::LISTENING);
    let (_upstream, address) = runtime.block_on(upstream)?;
    // To stderr, because a program may read the standard output.
    eprintln!("measuring flights");
    let beside = arguments.beside.as_ref().map(fs::read).transpose()?;
    let (mut groups, mut marks) = flights::run(&runtime, &effort, address, beside.as_deref())?;
    if beside.is_some() {
        return print(&arguments, &groups, marks);
    }
    eprintln!("measuring typed functions");
    let (typed, of_typed) = typed::run(&effort)?;
    groups.extend(typed);
    marks.extend(of_typed);
    eprintln!("measuring servers");
    let (group, servers) = servers::run(&runtime, &effort, &arguments.wasmtime, address)?;
    groups.push(group);
    marks.extend(servers);
    marks.push(idle::mark(&effort, address)?);
    print(&arguments, &groups, marks)
}

fn print(arguments: &Arguments, groups: &[Group], marks: Vec<Mark>) -> anyhow::Result<()> {
    let wasmtime = arguments.wasmtime.to_string_lossy();
    let machine = Machine::current(&[(&wasmtime, &["--version"])]);
    let report = Report {
        machine,
        quick: arguments.quick,
        sections: vec![Section {
            name: "flights",
            tables: vec![group::table(groups)],
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
