//! The table against a model: random operations are applied to both, and everything that can be observed of
//! the table is compared with the model after every step. The model cites the numbers of the contract where
//! it implements them.
//!
//! There is one thread, the script advances the clock, and each flight's task has a separate runtime that
//! the script runs: a script is one deterministic order. Concurrency is the subject of `tests/schedules`.
//!
//! `PROPTEST_CASES` sets the number of scripts. A script that fails is shrunk and printed, one operation per
//! line, up to the step with the difference. It is not stored in a file: write a named test for it.

#![cfg(not(shuttle))]

mod case;
mod harness;
mod model;
mod outcome;
mod script;
mod scripted_work;

use std::env;

use proptest::proptest;
use proptest::test_runner::{Config, RngAlgorithm};

use crate::case::Case;
use crate::script::script;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_table_does_what_the_model_says(script in script()) {
        let mut case = Case::new(&script);
        case.run(&script.ops)?;
    }
}

/// About five seconds of an unoptimised build.
const CASES: u32 = if cfg!(miri) { 4 } else { 4_000 };

fn config() -> Config {
    let mut config = Config::default();
    // The default reads the variable.
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.failure_persistence = None;
    // In an unoptimised build the default generator takes most of the time.
    config.rng_algorithm = RngAlgorithm::XorShift;
    config
}
