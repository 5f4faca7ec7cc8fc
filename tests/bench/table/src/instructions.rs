//! The instructions of a call and of a join, counted by callgrind. They do not depend on other load on the
//! machine, and show that a join costs the same among many callers as among few, and in a full table as in an
//! empty one.
//!
//! Each figure is the difference between two runs of a separate process (`src/bin/instructions.rs`), divided
//! by the number of operations that the second run has more, so that start and set-up cancel out.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use harness::report::{Cell, Mark, Section, Table};

use crate::counted::{CountedLoad, Followers};
use crate::effort::Effort;
use crate::lineup::Contestant;
use crate::loads::JoinScene;
use crate::work::Pace;

/// Counts calls and joins.
///
/// # Errors
///
/// The process cannot be run, or fails.
pub fn run(effort: &Effort, program: &Path) -> anyhow::Result<Section> {
    let counter = Counter { program };
    let valgrind = Command::new("valgrind").arg("--version").output();
    let (calls, joins) = if valgrind.is_ok() {
        (counter.calls(effort)?, counter.joins(effort)?)
    } else {
        (Vec::new(), Vec::new())
    };
    let paces = Table::new(
        "instructions per uncontended call, 1 worker",
        Pace::ALL.map(Pace::name),
    );
    let scenes = Table::new(
        "instructions per join, by callers of a key x keys + other flights",
        effort.joins.iter().map(JoinScene::to_string),
    );
    let mut section = Section::new("instructions");
    section.tables = vec![filled(paces, &calls), filled(scenes, &joins)];
    section.marks = marks(effort, &calls, &joins);
    Ok(section)
}

/// A contestant's figures, by column.
type Counts = Vec<(Contestant, Vec<f64>)>;

struct Counter<'a> {
    program: &'a Path,
}

impl Counter<'_> {
    fn calls(&self, effort: &Effort) -> anyhow::Result<Counts> {
        let [fewer, more] = effort.counted_calls;
        let count = |&contestant: &Contestant| {
            let paces = Pace::ALL.map(|pace| {
                let loads = [fewer, more].map(|calls| CountedLoad::Calls { pace, calls });
                self.each(contestant, loads, more - fewer)
            });
            Ok((
                contestant,
                paces.into_iter().collect::<anyhow::Result<_>>()?,
            ))
        };
        let floors = &Contestant::CALL_FLOORS;
        effort.counted.iter().chain(floors).map(count).collect()
    }

    fn joins(&self, effort: &Effort) -> anyhow::Result<Counts> {
        let count = |&contestant: &Contestant| {
            let scenes = effort.joins.iter().map(|&scene| {
                let loads = [Followers::Absent, Followers::Joined]
                    .map(|followers| CountedLoad::Joins { scene, followers });
                self.each(contestant, loads, scene.followers())
            });
            Ok((contestant, scenes.collect::<anyhow::Result<_>>()?))
        };
        effort.counted.iter().map(count).collect()
    }

    /// The difference in instructions between the two loads, divided by the operations that the second has more.
    fn each(
        &self,
        contestant: Contestant,
        loads: [CountedLoad; 2],
        more: u64,
    ) -> anyhow::Result<f64> {
        // In parallel: the counts do not depend on other processes.
        let runs = loads.map(|load| self.start(contestant, load));
        let [less, all] = runs.map(|run| collected(run?));
        Ok((all? as f64 - less? as f64) / more as f64)
    }

    fn start(&self, contestant: Contestant, load: CountedLoad) -> anyhow::Result<Child> {
        let run = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(self.program)
            .arg(contestant.name())
            .args(load.arguments())
            .stderr(Stdio::piped())
            .spawn();
        run.context("start valgrind")
    }
}

/// The last line that callgrind prints: "Collected : <instructions>".
fn collected(run: Child) -> anyhow::Result<u64> {
    let output = run.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed: {stderr}");
    let collected = stderr
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.context("expected \"Collected : \" in callgrind's output")?;
    Ok(collected.trim().parse()?)
}

fn filled(mut table: Table, counts: &Counts) -> Table {
    for (contestant, counts) in counts {
        let cells = counts.iter().copied().map(Cell::Amount);
        table.push(contestant.name(), cells.collect());
    }
    table.or_not_run(Contestant::Ours.name(), "valgrind")
}

fn marks(effort: &Effort, calls: &Counts, joins: &Counts) -> Vec<Mark> {
    let count = |counts: &Counts, contestant, column: Option<usize>| {
        let found = counts.iter().find(|(counted, _)| *counted == contestant);
        found
            .zip(column)
            .map_or(f64::NAN, |((_, counts), column)| counts[column])
    };
    let ready = Pace::ALL.iter().position(|pace| *pace == Pace::Ready);
    let [ours, floor] = [Contestant::Ours, Contestant::SpawnAndSend]
        .map(|contestant| count(calls, contestant, ready));
    let among = |callers, others| {
        let mut scenes = effort.joins.iter();
        let scene = scenes.position(|scene| scene.callers == callers && scene.others == others);
        count(joins, Contestant::Ours, scene)
    };
    let crowd = among(100_000, 0) / among(10, 0);
    let table = among(10_000, 100_000) / among(10_000, 10);
    vec![
        Mark::at_most(
            "instructions per uncontended call, ready",
            ours,
            3_300.0,
            "",
        )
        .with(format!("the floor {}", Cell::Amount(floor))),
        Mark::at_most("a join among 100,000 callers / among 10", crowd, 1.15, ""),
        Mark::at_most("a join beside 100,000 flights / beside 10", table, 1.15, ""),
    ]
}
