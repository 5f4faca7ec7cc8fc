//! The contract under concurrency: callers join, make fresh calls, stay and leave, work lands, panics and
//! makes nested calls, keys are forgotten, the clock advances and the group drains, all at once.
//! `script.rs` chooses the actions, `invariants.rs` checks what must hold for every order.
//!
//! On real threads this is a stress test. Built with `--cfg shuttle`, the explorer chooses at each lock,
//! atomic operation and wake which thread runs next. It prints the schedule of a run that fails. With that
//! text in the environment variable `SCHEDULE` the same test runs that schedule again.

mod invariants;
mod record;
mod runtime_shim;
mod script;
mod world;

#[cfg(not(shuttle))]
#[test]
fn the_contract_holds_on_real_threads() {
    use std::time::Duration;

    const RUNS: usize = if cfg!(miri) { 10 } else { 3_000 };
    const FAILSAFE: Duration = Duration::from_secs(60);
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(4).enable_time().build();
    let runtime = runtime.expect("a runtime with a timer");
    for _ in 0..RUNS {
        let run = runtime.spawn(script::run());
        let ran = runtime.block_on(async { tokio::time::timeout(FAILSAFE, run).await });
        let ran = ran.expect("every caller completes in time");
        ran.expect("the contract holds");
    }
}

#[cfg(shuttle)]
mod explored {
    use std::env;

    use shuttle::future::block_on;
    use shuttle::scheduler::{
        PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
        UncontrolledNondeterminismCheckScheduler,
    };
    use shuttle::{Config, Runner};

    use crate::script;

    const RANDOM: usize = 200_000;
    /// For each number of preemptions.
    const PREEMPTED: usize = 20_000;

    fn explore(scheduler: impl Scheduler + 'static) {
        let run = || block_on(script::run());
        let mut config = Config::new();
        config.silence_warnings = true;
        match env::var("SCHEDULE") {
            Ok(schedule) => {
                let replayed = ReplayScheduler::new_from_encoded(&schedule);
                Runner::new(replayed, config).run(run)
            }
            Err(_) => Runner::new(scheduler, config).run(run),
        };
    }

    #[test]
    fn the_contract_holds_under_random_schedules() {
        explore(RandomScheduler::new(RANDOM));
    }

    #[test]
    fn the_contract_holds_under_schedules_of_few_preemptions() {
        for preemptions in 1..=4 {
            explore(PctScheduler::new(preemptions, PREEMPTED));
        }
    }

    // A replay is only possible if the explorer controls everything that happens.
    #[test]
    fn a_schedule_does_the_same_when_it_is_replayed() {
        let schedules = RandomScheduler::new(1_000);
        explore(UncontrolledNondeterminismCheckScheduler::new(schedules));
    }
}
