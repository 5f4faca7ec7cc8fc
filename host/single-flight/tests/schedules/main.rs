//! The contract with everything at once: callers that join, call anew, stay and leave, work that lands,
//! panics and asks for more, keys that are forgotten, time that passes and a drain. What happens is
//! `script.rs`, what must hold of it, whatever the order was, is `law.rs`.
//!
//! On real threads it is a stress test. Built with `--cfg shuttle` the order is the explorer's: it decides
//! at each lock, atomic and wake who goes next. A schedule that breaks a promise is then printed as text;
//! with that text in the environment as `SCHEDULE`, the same test does the same again.

mod ground;
mod law;
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
        let ran = ran.expect("a caller still waits");
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

    // What a replay rests on: nothing but the explorer decides what happens.
    #[test]
    fn a_schedule_does_the_same_when_it_is_replayed() {
        let schedules = RandomScheduler::new(1_000);
        explore(UncontrolledNondeterminismCheckScheduler::new(schedules));
    }
}
