//! The contract under every schedule that the explorer comes to: callers that join, stay and leave, work
//! that lands, panics and asks for more, keys that are forgotten, time that passes and a drain, at once.
//!
//! Built with `--cfg shuttle`, where the explorer decides at each lock, atomic and wake who goes next. A
//! schedule that breaks a promise is printed as a line of text; with that line in the environment as
//! `SCHEDULE`, the same test does the same again.

#![cfg(shuttle)]

mod law;
mod script;
mod world;

use std::env;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, Runner};

const RANDOM: usize = 100_000;
/// For each number of preemptions.
const PREEMPTED: usize = 10_000;

fn explore(scheduler: impl Scheduler + 'static) -> usize {
    let mut config = Config::new();
    config.silence_warnings = true;
    match env::var("SCHEDULE") {
        Ok(schedule) => {
            let replayed = ReplayScheduler::new_from_encoded(&schedule);
            Runner::new(replayed, config).run(script::run)
        }
        Err(_) => Runner::new(scheduler, config).run(script::run),
    }
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
    explore(UncontrolledNondeterminismCheckScheduler::new(
        RandomScheduler::new(1_000),
    ));
}
