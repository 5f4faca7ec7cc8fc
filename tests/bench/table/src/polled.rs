//! The cost of one of many callers of a key, without separate tasks: joining, and then landing, waking and
//! getting the result.
//!
//! The callers are futures on one thread, polled in order with one waker that counts. The first polls are timed
//! as the joining. Then the work is released, and the runtime's tasks, if there are any, and the waiting callers
//! are polled until all callers have the outcome. So a coalescer that runs the work in a task and one that runs
//! it in a caller's poll have the same to do: in both the work waits for its release.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::report::{Cell, Mark, Section, Table};
use harness::turns::{ids, in_turns};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::coalescer::{Coalescer, Outcome};
use crate::crowd::{BySize, executions, table};
use crate::effort::Effort;
use crate::lineup::{self, Contestant, Measure};
use crate::samples::CrowdSample;
use crate::work::Gated;

/// Measures crowds of every size.
///
/// # Errors
///
/// A runtime cannot be built.
pub fn run(effort: &Effort) -> anyhow::Result<Section> {
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.context("start a runtime for the flights")?;
    let mut sizes = Vec::new();
    for &callers in effort.crowds {
        let turn = PolledTurn {
            runtime: &runtime,
            callers,
            crowds: effort.callers_per_turn.div_ceil(callers),
        };
        let participants = lineup::each(&Contestant::with(&[Contestant::ParkedList]), &turn);
        sizes.push((callers, in_turns(effort.rounds, &participants)?));
    }
    let total = sizes
        .iter()
        .map(|(callers, rounds)| (*callers, rounds.map(PolledSample::total)));
    let total: Vec<_> = total.collect();
    let mut section = Section::new("polled");
    section.tables = vec![
        phase("join", &sizes, |sample| sample.join),
        phase("land, wake and get the result", &sizes, |sample| {
            sample.result
        }),
        table(
            "one key, futures polled by hand, total: ns per caller",
            &total,
        ),
    ];
    section.marks = marks(&total);
    Ok(section)
}

struct PolledTurn<'a> {
    runtime: &'a Runtime,
    callers: usize,
    crowds: usize,
}

/// Nanoseconds per caller.
struct PolledSample {
    join: f64,
    result: f64,
    /// The most executions of one crowd's work.
    executions: u64,
}

impl PolledSample {
    fn total(&self) -> CrowdSample {
        CrowdSample {
            nanos: self.join + self.result,
            executions: self.executions,
        }
    }
}

impl Measure for PolledTurn<'_> {
    type Sample = PolledSample;

    fn measure<C: Coalescer>(&self) -> PolledSample {
        let mut joins = Duration::ZERO;
        let mut results = Duration::ZERO;
        let mut executions = 0;
        for _ in 0..self.crowds {
            let (join, result, executed) = self.crowd::<C>();
            joins += join;
            results += result;
            executions = executions.max(executed);
        }
        let callers = (self.callers * self.crowds) as f64;
        PolledSample {
            join: joins.as_nanos() as f64 / callers,
            result: results.as_nanos() as f64 / callers,
            executions,
        }
    }
}

impl PolledTurn<'_> {
    fn crowd<C: Coalescer>(&self) -> (Duration, Duration, u64) {
        let coalescer = C::default();
        let gated = Arc::new(Gated::default());
        let mut waiting: Vec<_> = (0..self.callers)
            .map(|_| {
                let gated = Arc::clone(&gated);
                Box::pin(coalescer.call(0, move || gated.work()))
            })
            .collect();
        // Completed calls are kept, so that their deallocation is not timed.
        let mut done = Vec::with_capacity(self.callers);
        let waker = Waker::from(Arc::new(Wakes::default()));
        let cx = &mut Context::from_waker(&waker);

        let entered = self.runtime.enter();
        let started = Instant::now();
        for call in &mut waiting {
            assert!(
                call.as_mut().poll(cx).is_pending(),
                "{} did not wait",
                C::NAME
            );
        }
        let join = started.elapsed();
        drop(entered);
        run_tasks(self.runtime);

        gated.release();
        let started = Instant::now();
        while !waiting.is_empty() {
            run_tasks(self.runtime);
            let _entered = self.runtime.enter();
            done.extend(waiting.extract_if(.., |call| completed(call.as_mut(), cx)));
        }
        (join, started.elapsed(), gated.executions())
    }
}

/// Runs the tasks that are ready, each once.
fn run_tasks(runtime: &Runtime) {
    runtime.block_on(yield_now());
}

fn completed(call: Pin<&mut impl Future<Output = Outcome>>, cx: &mut Context<'_>) -> bool {
    match call.poll(cx) {
        Poll::Ready(outcome) => outcome.is_ok() || panic!("a call of the crowd failed"),
        Poll::Pending => false,
    }
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn phase(name: &str, sizes: &BySize<PolledSample>, nanos: fn(&PolledSample) -> f64) -> Table {
    let title = format!("one key, futures polled by hand, {name}: ns per caller");
    let columns = sizes.iter().map(|(callers, _)| Cell::count(*callers));
    let mut table = Table::new(title, columns);
    for entrant in ids(sizes) {
        let medians = sizes
            .iter()
            .map(|(_, rounds)| rounds.map(nanos).median(entrant));
        table.push(entrant.name(), medians.map(Cell::Amount).collect());
    }
    table
}

fn marks(total: &BySize<CrowdSample>) -> Vec<Mark> {
    let nanos = |callers| {
        let found = total.iter().find(|(size, _)| *size == callers);
        found.map_or(f64::NAN, |(_, rounds)| {
            rounds.map(|crowd| crowd.nanos).median(Contestant::Ours)
        })
    };
    let growth = nanos(100_000) / nanos(10);
    let executions = executions(total, Contestant::Ours);
    vec![
        Mark::at_most("polled: a caller among 1,000", nanos(1_000), 135.0, " ns"),
        Mark::at_most(
            "polled: a caller among 100,000",
            nanos(100_000),
            145.0,
            " ns",
        ),
        Mark::at_most("polled: among 100,000 / among 10", growth, 1.15, ""),
        Mark::exactly("polled: executions for a crowd", executions, 1),
    ]
}
