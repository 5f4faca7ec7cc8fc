//! The cost of one of many callers of a key, each a task: spawned, joined, woken, collected.
//!
//! All run on one worker. The crowd is spawned, each task calls, and when all of them wait the work is released;
//! the last outcome that is collected stops the clock. The floor is the same with a list of wakers instead of a
//! coalescer, so most of its figure is the cost of the tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::report::{Mark, Section};
use harness::turns::in_turns;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::coalescer::{Coalescer, Outcome};
use crate::crowd::{executions, table};
use crate::effort::Effort;
use crate::go::Go;
use crate::lineup::{self, Contestant, Measure};
use crate::runtime::runtime;
use crate::samples::CrowdSample;
use crate::work::Gated;

/// Measures crowds of every size.
///
/// # Errors
///
/// A runtime cannot be built, or the Go program fails.
pub fn run(effort: &Effort, go: Option<&Go>) -> anyhow::Result<Section> {
    let runtime = runtime(1)?;
    let mut sizes = Vec::new();
    for &callers in effort.crowds {
        let crowds = effort.callers_per_turn.div_ceil(callers);
        let turn = TasksTurn {
            runtime: &runtime,
            callers,
            crowds,
        };
        let mut participants = lineup::each(&Contestant::with(&[Contestant::ParkedList]), &turn);
        participants.extend(lineup::go(go, move |go| go.crowd(callers, crowds)));
        sizes.push((callers, in_turns(effort.rounds, &participants)?));
    }
    let mut section = Section::new("tasks");
    let title = "one key, callers that are tasks, 1 worker: ns per caller, its task included";
    let executions = executions(&sizes, Contestant::Ours);
    section
        .tables
        .push(table(title, &sizes).or_not_run(Go::NAME, "go"));
    section.marks.push(Mark::exactly(
        "tasks: executions for a crowd",
        executions,
        1,
    ));
    Ok(section)
}

struct TasksTurn<'a> {
    runtime: &'a Runtime,
    callers: usize,
    crowds: usize,
}

impl Measure for TasksTurn<'_> {
    type Sample = CrowdSample;

    fn measure<C: Coalescer>(&self) -> CrowdSample {
        let mut took = Duration::ZERO;
        let mut executions = 0;
        for _ in 0..self.crowds {
            let scene = Arc::new(TasksScene::<C>::default());
            let crowd = self.runtime.spawn(crowd(Arc::clone(&scene), self.callers));
            took += self.runtime.block_on(crowd).expect("the crowd panicked");
            executions = executions.max(scene.gated.executions());
        }
        CrowdSample {
            nanos: took.as_nanos() as f64 / (self.callers * self.crowds) as f64,
            executions,
        }
    }
}

/// What all tasks of a crowd share.
#[derive(Default)]
struct TasksScene<C> {
    coalescer: C,
    gated: Arc<Gated>,
    /// Tasks that have been polled. There is one worker, so when all of them have been, all of them wait.
    begun: AtomicUsize,
}

/// Runs in a task, so that what it spawns stays on its worker.
async fn crowd<C: Coalescer>(scene: Arc<TasksScene<C>>, callers: usize) -> Duration {
    let started = Instant::now();
    let tasks = (0..callers).map(|_| tokio::spawn(caller(Arc::clone(&scene))));
    let tasks: Vec<_> = tasks.collect();
    while scene.begun.load(Ordering::Relaxed) < callers {
        yield_now().await;
    }
    scene.gated.release();
    for task in tasks {
        let outcome = task.await.expect("a caller panicked");
        outcome.expect("a caller of the crowd is not refused");
    }
    started.elapsed()
}

async fn caller<C: Coalescer>(scene: Arc<TasksScene<C>>) -> Outcome {
    scene.begun.fetch_add(1, Ordering::Relaxed);
    let gated = Arc::clone(&scene.gated);
    scene.coalescer.call(0, move || gated.work()).await
}
