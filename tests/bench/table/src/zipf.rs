//! Many callers and keys, a few of which get most of the calls: the rate of calls, and whether their outcomes are
//! right.
//!
//! The work takes a millisecond. Each caller is a task that requests one key after another, drawn by Zipf's law.
//! Two faults of sharing are counted. *Overlap*: concurrent executions of one key, which one flight per key
//! excludes. *Late results*: calls that began after some caller had already received the value that they get,
//! so that the value is older than the call. For that, a logical clock is read when a call begins and when a
//! value is received.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use harness::report::{Cell, Mark, Section, Table};
use harness::turns::in_turns;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::coalescer::{Coalescer, Execution, Outcome, Value};
use crate::effort::Effort;
use crate::go::Go;
use crate::lineup::{self, Contestant, Measure, Rounds};
use crate::loads::ZipfLoad;
use crate::runtime::runtime;
use crate::samples::ZipfSample;
use crate::skew::{Rng, Zipf};

/// The duration of an execution. It stands for work; nothing waits for something else to happen.
const WORK: Duration = Duration::from_millis(1);

/// Measures with one worker per core.
///
/// # Errors
///
/// A runtime cannot be built, or the Go program fails.
pub fn run(effort: &Effort, go: Option<&Go>) -> anyhow::Result<Section> {
    let workers = available_parallelism()?.get();
    let turn = ZipfTurn {
        runtime: &runtime(workers)?,
        zipf: Arc::new(Zipf::new(effort.zipf.keys)),
        load: effort.zipf,
    };
    let mut participants = lineup::each(&Contestant::COALESCERS, &turn);
    participants.extend(lineup::go(go, |go| go.zipf(&turn.load, workers)));
    let rounds = in_turns(effort.zipf_rounds, &participants)?;
    let mut section = Section::new("zipf");
    section.tables.push(table(&turn.load, workers, &rounds));
    section.marks = marks(&rounds);
    Ok(section)
}

struct ZipfTurn<'a> {
    runtime: &'a Runtime,
    zipf: Arc<Zipf>,
    load: ZipfLoad,
}

/// What all callers and executions of a turn share.
struct ZipfScene<C> {
    coalescer: C,
    zipf: Arc<Zipf>,
    ledger: Arc<Ledger>,
}

/// What is recorded during a turn.
struct Ledger {
    /// Incremented at each reading.
    clock: AtomicU64,
    executions: AtomicU64,
    /// Concurrent executions, by key.
    alive: Vec<AtomicU32>,
    most_alive: AtomicU32,
}

impl Measure for ZipfTurn<'_> {
    type Sample = ZipfSample;

    fn measure<C: Coalescer>(&self) -> ZipfSample {
        let scene = Arc::new(ZipfScene {
            // In the worst case all callers request different keys.
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
        ZipfSample {
            calls_per_second: calls as f64 / took.as_secs_f64(),
            executions: scene.ledger.executions.load(Ordering::Relaxed),
            alive: scene.ledger.most_alive.load(Ordering::Relaxed).into(),
            late,
            refused: calls - receipts.count() as u64,
            calls,
        }
    }
}

/// A value that a call got. It is evaluated when all calls are done.
struct Receipt {
    /// The time at which the call began.
    began: u64,
    value: Value,
}

impl Receipt {
    fn is_late(&self) -> bool {
        self.value.first_receipt() < self.began
    }
}

async fn caller<C: Coalescer>(scene: Arc<ZipfScene<C>>, seed: u64, calls: u64) -> Vec<Receipt> {
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
        // Sequentially consistent: what was received before a call began has the lower reading.
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    async fn work(self: Arc<Self>, key: usize) -> Outcome {
        let _alive = Alive::new(&self, key);
        sleep(WORK).await;
        let number = self.executions.fetch_add(1, Ordering::Relaxed);
        Ok(Value::new(Execution::new(number)))
    }
}

/// Counts an execution as alive, from its first poll until it is done or dropped.
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

fn table(load: &ZipfLoad, workers: usize, rounds: &Rounds<ZipfSample>) -> Table {
    let title = format!(
        "{} callers, {} keys by Zipf's law, {WORK:?} of work, {workers} worker(s): median rates, greatest counts",
        Cell::Count(load.callers),
        Cell::count(load.keys),
    );
    let columns = [
        "calls/s",
        "/ ours",
        "calls per execution",
        "alive at once",
        "late",
        "late share",
        "refused",
    ];
    let mut table = Table::new(title, columns);
    let rate = rounds.map(|sample| sample.calls_per_second);
    let sharing = rounds.map(|sample| sample.calls as f64 / sample.executions as f64);
    for entrant in rounds.ids() {
        let late = rounds.max(entrant, |sample| sample.late);
        let calls = load.callers * load.calls_each;
        table.push(
            entrant.name(),
            vec![
                Cell::Amount(rate.median(entrant)),
                Cell::Ratio(rate.ratio(entrant, Contestant::Ours)),
                Cell::Amount(sharing.median(entrant)),
                Cell::Count(rounds.max(entrant, |sample| sample.alive)),
                Cell::Count(late),
                Cell::Part(late as f64 / calls as f64),
                Cell::Count(rounds.max(entrant, |sample| sample.refused)),
            ],
        );
    }
    table.or_not_run(Go::NAME, "go")
}

fn marks(rounds: &Rounds<ZipfSample>) -> Vec<Mark> {
    let max = |count: fn(&ZipfSample) -> u64| rounds.max(Contestant::Ours, count);
    vec![
        Mark::exactly(
            "zipf: executions of one key alive at once",
            max(|sample| sample.alive),
            1,
        ),
        Mark::exactly("zipf: late results", max(|sample| sample.late), 0),
        Mark::exactly("zipf: refused calls", max(|sample| sample.refused), 0),
    ]
}
