//! Runs the sections and prints their results: see the crate's documentation.

use std::path::Path;

use anyhow::Context;
use bench_table::effort::Effort;
use bench_table::go::Go;
use bench_table::{heap, instructions, polled, tasks, uncontended, zipf};
use clap::{Parser, ValueEnum};
use harness::machine::Machine;
use harness::report::{Report, Section};

/// Measures the table and its peers and prints one set of tables.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run only this section.
    section: Option<Name>,
    /// Take seconds: this shows that everything runs, and the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Passed by `cargo bench` to every benchmark. Without it this is a test, and quick.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Distinct keys: ns per call.
    Uncontended,
    /// One key, futures polled by hand: ns per caller.
    Polled,
    /// One key, callers that are tasks: ns per caller.
    Tasks,
    /// Many callers, keys by Zipf's law: calls per second, overlap, late results.
    Zipf,
    /// Memory of a waiting caller.
    Heap,
    /// Instructions per call and per join.
    Instructions,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick || !arguments.bench;
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let machine = Machine::current(&[("go", &["version"])]);
    let go = Go::start(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .inspect_err(|missing| eprintln!("Go: not run: {missing:#}"))
        .ok();
    let mut sections = Vec::new();
    for name in Name::value_variants() {
        if arguments.section.is_none_or(|only| only == *name) {
            // To stderr, because a program may read the standard output.
            eprintln!("measuring: {name:?}");
            let section = run(*name, &effort, go.as_ref());
            sections.push(section.with_context(|| format!("measure {name:?}"))?);
        }
    }
    let report = Report {
        machine,
        quick,
        sections,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn run(name: Name, effort: &Effort, go: Option<&Go>) -> anyhow::Result<Section> {
    match name {
        Name::Uncontended => uncontended::run(effort, go),
        Name::Polled => polled::run(effort),
        Name::Tasks => tasks::run(effort, go),
        Name::Zipf => zipf::run(effort, go),
        Name::Heap => heap::run(effort, Path::new(env!("CARGO_BIN_EXE_heap"))),
        Name::Instructions => {
            instructions::run(effort, Path::new(env!("CARGO_BIN_EXE_instructions")))
        }
    }
}
