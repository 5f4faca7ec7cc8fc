//! The cost of a call without contention: distinct keys, one call after another.
//!
//! Each caller is a task that calls in a loop, on a multi-threaded runtime with as many workers as there are
//! callers. The cost of a call is the time of a caller's loop divided by its calls: with two callers it is the
//! same as with one if they do not slow each other down.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use harness::report::{Cell, Mark, Section, Table};
use harness::turns::{ids, in_turns};
use tokio::runtime::Runtime;
use tokio::task::{block_in_place, yield_now};

use crate::coalescer::{Coalescer, Execution, Value};
use crate::effort::Effort;
use crate::go::Go;
use crate::lineup::{self, Contestant, Measure, Rounds};
use crate::runtime::runtime;
use crate::work::Pace;

/// Measures with one worker and with two.
///
/// # Errors
///
/// A runtime cannot be built, or the Go program fails.
pub fn run(effort: &Effort, go: Option<&Go>) -> anyhow::Result<Section> {
    let mut section = Section::new("uncontended");
    for callers in [1, 2] {
        let runtime = runtime(callers)?;
        let mut paces = Vec::new();
        for pace in Pace::ALL {
            let turn = UncontendedTurn {
                runtime: &runtime,
                callers: callers as u64,
                pace,
                calls: effort.calls,
            };
            let go_turn = |go: &Go| go.uncontended(turn.callers, pace, turn.calls);
            let mut participants = lineup::each(&Contestant::with(&Contestant::CALL_FLOORS), &turn);
            participants.extend(lineup::go(go, go_turn));
            paces.push((pace, in_turns(effort.rounds, &participants)?));
        }
        section.tables.push(table(callers, &paces));
        for (pace, rounds) in &paces {
            section.marks.extend(marks(callers, *pace, rounds));
        }
    }
    Ok(section)
}

/// The floor that all are divided by. [`Contestant::SpawnAndJoin`] is the lower of the two, but only because it
/// keeps the result and the one waker in the task itself, which is impossible for a shared result.
const FLOOR: Contestant = Contestant::SpawnAndSend;

/// One turn: callers on a runtime of as many workers.
#[derive(Debug)]
pub struct UncontendedTurn<'a> {
    /// The runtime of the callers.
    pub runtime: &'a Runtime,
    /// The number of callers.
    pub callers: u64,
    /// When their work is ready.
    pub pace: Pace,
    /// Calls of each of them.
    pub calls: u64,
}

impl Measure for UncontendedTurn<'_> {
    /// Nanoseconds per call.
    type Sample = f64;

    fn measure<C: Coalescer>(&self) -> f64 {
        let coalescer = Arc::new(C::default());
        let start = Arc::new(Barrier::new(self.callers as usize));
        let callers: Vec<_> = (0..self.callers)
            .map(|caller| {
                let (coalescer, start) = (Arc::clone(&coalescer), Arc::clone(&start));
                let keys = caller * self.calls..(caller + 1) * self.calls;
                let pace = self.pace;
                self.runtime.spawn(async move {
                    // Each caller blocks a thread here, so that all of them start at the same time. In place,
                    // because a worker that only blocked would keep the callers in its queue from starting.
                    block_in_place(|| start.wait());
                    // Back to a worker, which the thread has handed over.
                    yield_now().await;
                    call_each(&*coalescer, keys, pace).await
                })
            })
            .collect();
        let took: Duration = callers
            .into_iter()
            .map(|caller| self.runtime.block_on(caller).expect("a caller panicked"))
            .sum();
        took.as_nanos() as f64 / (self.callers * self.calls) as f64
    }
}

async fn call_each<C: Coalescer>(
    coalescer: &C,
    keys: impl Iterator<Item = u64>,
    pace: Pace,
) -> Duration {
    let value = Value::new(Execution::new(0));
    let started = Instant::now();
    for key in keys {
        let value = Value::clone(&value);
        let outcome = coalescer.call(key, move || pace.work(value)).await;
        black_box(outcome.expect("a single call is not refused"));
    }
    started.elapsed()
}

fn table(callers: usize, paces: &[(Pace, Rounds<f64>)]) -> Table {
    let columns = paces.iter().flat_map(|(pace, _)| {
        let name = pace.name();
        [name, "/ ours", "/ floor", "spread"]
    });
    let title = format!(
        "distinct keys, {callers} worker(s): ns per call, for work that is ready and work that yields"
    );
    let mut table = Table::new(title, columns);
    for entrant in ids(paces) {
        let cells = paces.iter().flat_map(|(_, rounds)| {
            [
                Cell::Amount(rounds.median(entrant)),
                Cell::Ratio(rounds.ratio(entrant, Contestant::Ours)),
                Cell::Ratio(rounds.ratio(entrant, FLOOR)),
                Cell::Part(rounds.spread(entrant)),
            ]
        });
        table.push(entrant.name(), cells.collect());
    }
    table.or_not_run(Go::NAME, "go")
}

fn marks(callers: usize, pace: Pace, rounds: &Rounds<f64>) -> [Mark; 3] {
    let mark = |to: Contestant, limit| {
        let ratio = rounds.ratio(Contestant::Ours, to);
        let aim = format!("{callers} worker(s), {}: ours / {}", pace.name(), to.name());
        let [ours, to] = [Contestant::Ours, to].map(|entrant| Cell::Amount(rounds.median(entrant)));
        Mark::at_most(aim, ratio, limit, "").with(format!("{ours} / {to} ns"))
    };
    [
        mark(Contestant::SharedTask, 1.0),
        mark(Contestant::SpawnAndSend, 1.15),
        mark(Contestant::SpawnAndJoin, 1.15),
    ]
}
