//! The memory of a waiting caller: its task, its future, and its place in the flight.
//!
//! It is measured in a separate process (`src/bin/heap.rs`), whose allocator counts, which takes time.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use harness::report::{Cell, Mark, Section, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::effort::Effort;
use crate::lineup::Contestant;

/// The memory of each of many parked tasks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Parked {
    /// Bytes requested from the allocator.
    pub requested: f64,
    /// Resident bytes by which the process grew, if the system reports them. They include the allocator's
    /// overhead, which is large for tokio's tasks, because those are aligned to 128 bytes.
    pub resident: Option<f64>,
}

/// The memory of a contestant's callers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Held {
    /// Of each caller, with its task.
    pub parked: Parked,
    /// Bytes of the future of a call.
    pub future: u64,
    /// Allocations while all followers joined, in total.
    pub joining: u64,
}

/// The argument with which the process measures tasks without a contestant.
pub const BARE: &str = "a bare parked task";

/// Measures each contestant in a separate process: memory that one has freed would be reused by the next.
///
/// # Errors
///
/// A process cannot be run, or fails.
pub fn run(effort: &Effort, program: &Path) -> anyhow::Result<Section> {
    let callers = effort.parked;
    let bare = count(program, callers, BARE)?;
    let contestants = Contestant::with(&[Contestant::ParkedList]);
    let held = contestants.into_iter().map(|contestant| {
        let held = count(program, callers, contestant.name())?;
        Ok((contestant, held))
    });
    let held: Vec<(_, Held)> = held.collect::<anyhow::Result<_>>()?;
    let mut section = Section::new("heap");
    section.tables.push(table(callers, &held, bare));
    section.marks = marks(callers, &held);
    Ok(section)
}

fn count<C: DeserializeOwned>(program: &Path, callers: usize, what: &str) -> anyhow::Result<C> {
    let output = Command::new(program)
        .args([&callers.to_string(), what])
        .stderr(Stdio::inherit())
        .output()
        .context("run the process that counts allocations")?;
    ensure!(
        output.status.success(),
        "the process that counts allocations failed"
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn table(callers: usize, held: &[(Contestant, Held)], bare: Parked) -> Table {
    let title = format!(
        "{} tasks parked on one key: heap bytes per caller, its task included",
        Cell::Count(callers as u64),
    );
    let columns = [
        "requested",
        "above bare",
        "resident",
        "above bare",
        "future",
        "allocations while joining",
    ];
    let mut table = Table::new(title, columns);
    let above_bare = |parked: Parked| {
        let resident = parked.resident.unwrap_or(f64::NAN);
        [
            Cell::Amount(parked.requested),
            Cell::Amount(parked.requested - bare.requested),
            Cell::Amount(resident),
            Cell::Amount(resident - bare.resident.unwrap_or(f64::NAN)),
        ]
    };
    for (contestant, held) in held {
        let rest = [Cell::Count(held.future), Cell::Count(held.joining)];
        let cells = above_bare(held.parked).into_iter().chain(rest);
        table.push(contestant.name(), cells.collect());
    }
    table.push(BARE, above_bare(bare).into());
    table
}

fn marks(callers: usize, held: &[(Contestant, Held)]) -> Vec<Mark> {
    let mut held = held.iter();
    let ours = held.find(|(contestant, _)| *contestant == Contestant::Ours);
    let Some((_, ours)) = ours else {
        return Vec::new();
    };
    let resident = ours.parked.resident.unwrap_or(f64::NAN);
    // The reallocations of a list that doubles, and one of the table.
    let doublings = f64::from(callers.ilog2()) + 2.0;
    let joining = ours.joining as f64;
    vec![
        Mark::at_most(
            "resident heap per caller, its task included",
            resident,
            405.0,
            " B",
        ),
        Mark::at_most("the future of a call", ours.future as f64, 96.0, " B"),
        Mark::at_most(
            "allocations while all followers join: their list grows",
            joining,
            doublings,
            "",
        ),
    ]
}
