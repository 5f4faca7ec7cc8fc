//! Many callers, and keys of which a few are asked for most of the time: how many calls a second get an
//! outcome, and what they get.
//!
//! The work takes a millisecond. Each caller is a task that asks for one key after another, drawn by
//! Zipf's law. Two things are counted that sharing must not do. *Overlap*: executions of one key alive at
//! once, which one flight a key excludes. *Late results*: calls that began after some caller had already
//! received the very value that they get, so that what they learn is older than their question. For
//! that a clock that only counts up is read when a call begins and when a value is received.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use harness::report::{Cell, Mark, Section, Table};
use harness::turns::in_turns;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::contestants::{Coalescer, Execution, Outcome, Value};
use crate::effort::{Effort, ZipfLoad};
use crate::go::Go;
use crate::lineup::{self, Contestant, Measure, Rounds};
use crate::skew::{Rng, Zipf};
use crate::uncontended::runtime;

/// How long an execution takes. It is work and not a wait for something else to happen.
const WORK: Duration = Duration::from_millis(1);

/// Measures with a worker for each core.
///
/// # Errors
///
/// A runtime cannot be built, or the Go program fails.
pub fn run(effort: &Effort, go: Option<&Go>) -> anyhow::Result<Section> {
    let workers = available_parallelism()?.get();
    let turn = Turn {
        runtime: &runtime(workers)?,
        zipf: Arc::new(Zipf::new(effort.zipf.keys)),
        load: effort.zipf,
    };
    let mut entries = lineup::each(&Contestant::COALESCERS, &turn);
    entries.extend(lineup::go(go, |go| go.zipf(&turn.load, workers)));
    let rounds = in_turns(effort.zipf_rounds, &entries)?;
    let mut section = Section::new("zipf");
    section.tables.push(table(&turn.load, workers, &rounds));
    section.marks = marks(&rounds);
    Ok(section)
}

/// What a run of the load came to.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Tally {
    /// Calls that returned in a second.
    pub calls_per_second: f64,
    /// Executions.
    pub executions: u64,
    /// The most executions of one key that were alive at once.
    pub alive: u64,
    /// Calls that got a value which a caller had received before they began.
    pub late: u64,
    /// Calls that got no value.
    pub refused: u64,
    /// Calls that were made.
    pub calls: u64,
}

struct Turn<'a> {
    runtime: &'a Runtime,
    zipf: Arc<Zipf>,
    load: ZipfLoad,
}

/// What all callers and executions of a run share.
struct Scene<C> {
    coalescer: C,
    zipf: Arc<Zipf>,
    ledger: Arc<Ledger>,
}

/// What is written down during a run.
struct Ledger {
    /// Counts up whenever it is read.
    clock: AtomicU64,
    executions: AtomicU64,
    /// Executions alive, by key.
    alive: Vec<AtomicU32>,
    most_alive: AtomicU32,
}

impl Measure for Turn<'_> {
    type Sample = Tally;

    fn measure<C: Coalescer>(&self) -> Tally {
        let scene = Arc::new(Scene {
            // At worst no two callers ask for the same key.
            coalescer: C::with_room(self.load.callers as usize),
            zipf: Arc::clone(&self.zipf),
            ledger: Arc::new(Ledger::new(self.load.keys)),
        });
        let started = Instant::now();
        let callers: Vec<_> = (0..self.load.callers)
            .map(|seed| {
                let caller = caller(Arc::clone(&scene), seed, self.load.calls_each);
                self.runtime.spawn(caller)
            })
            .collect();
        let callers = callers
            .into_iter()
            .map(|caller| self.runtime.block_on(caller));
        let receipts: Vec<Vec<Receipt>> = callers
            .map(|caller| caller.expect("a caller panicked"))
            .collect();
        let took = started.elapsed();

        let receipts = receipts.iter().flatten();
        let late = receipts.clone().filter(|receipt| receipt.is_late()).count() as u64;
        let calls = self.load.callers * self.load.calls_each;
        Tally {
            calls_per_second: calls as f64 / took.as_secs_f64(),
            executions: scene.ledger.executions.load(Ordering::Relaxed),
            alive: scene.ledger.most_alive.load(Ordering::Relaxed).into(),
            late,
            refused: calls - receipts.count() as u64,
            calls,
        }
    }
}

/// A value that a call got. Looked at when all calls are done.
struct Receipt {
    /// When the call began.
    began: u64,
    value: Value,
}

impl Receipt {
    fn is_late(&self) -> bool {
        self.value.first_receipt() < self.began
    }
}

async fn caller<C: Coalescer>(scene: Arc<Scene<C>>, seed: u64, calls: u64) -> Vec<Receipt> {
    let mut rng = Rng::new(seed);
    let mut receipts = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        let key = scene.zipf.draw(&mut rng);
        let ledger = Arc::clone(&scene.ledger);
        let began = scene.ledger.now();
        let outcome = scene
            .coalescer
            .call(key as u64, move || ledger.work(key))
            .await;
        if let Ok(value) = outcome {
            value.received(scene.ledger.now());
            receipts.push(Receipt { began, value });
        }
    }
    receipts
}

impl Ledger {
    fn new(keys: usize) -> Self {
        Self {
            clock: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            alive: (0..keys).map(|_| AtomicU32::new(0)).collect(),
            most_alive: AtomicU32::new(0),
        }
    }

    fn now(&self) -> u64 {
        // In one order with everything that the callers do: what was received before a call began has
        // the lower reading.
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    async fn work(self: Arc<Self>, key: usize) -> Outcome {
        let _alive = Alive::new(&self, key);
        sleep(WORK).await;
        let number = self.executions.fetch_add(1, Ordering::Relaxed);
        Ok(Value::new(Execution::new(number)))
    }
}

/// That an execution is alive, from its first poll until it is done or dropped.
struct Alive<'a>(&'a AtomicU32);

impl<'a> Alive<'a> {
    fn new(ledger: &'a Ledger, key: usize) -> Self {
        let alive = &ledger.alive[key];
        let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
        ledger.most_alive.fetch_max(now, Ordering::Relaxed);
        Self(alive)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn table(load: &ZipfLoad, workers: usize, rounds: &Rounds<Tally>) -> Table {
    let title = format!(
        "{} callers, {} keys by Zipf's law, {WORK:?} of work, {workers} worker(s): median rate and sharing, worst counts",
        Cell::Count(load.callers),
        Cell::count(load.keys),
    );
    let columns = [
        "calls/s",
        "/ ours",
        "calls per execution",
        "alive at once",
        "late",
        "late part",
        "refused",
    ];
    let mut table = Table::new(title, columns);
    let rate = rounds.map(|tally| tally.calls_per_second);
    let sharing = rounds.map(|tally| tally.calls as f64 / tally.executions as f64);
    for entrant in rounds.entrants() {
        let late = rounds.most(entrant, |tally| tally.late);
        let calls = load.callers * load.calls_each;
        table.push(
            entrant.name(),
            vec![
                Cell::Amount(rate.median(entrant)),
                Cell::Ratio(rate.ratio(entrant, Contestant::Ours)),
                Cell::Amount(sharing.median(entrant)),
                Cell::Count(rounds.most(entrant, |tally| tally.alive)),
                Cell::Count(late),
                Cell::Part(late as f64 / calls as f64),
                Cell::Count(rounds.most(entrant, |tally| tally.refused)),
            ],
        );
    }
    table.or_not_run(Go::NAME, "go")
}

fn marks(rounds: &Rounds<Tally>) -> Vec<Mark> {
    let most = |count: fn(&Tally) -> u64| rounds.most(Contestant::Ours, count);
    vec![
        Mark::exactly(
            "zipf: executions of one key alive at once",
            most(|tally| tally.alive),
            1,
        ),
        Mark::exactly("zipf: late results", most(|tally| tally.late), 0),
        Mark::exactly("zipf: refused calls", most(|tally| tally.refused), 0),
    ]
}
