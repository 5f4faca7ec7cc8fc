//! The table against a model: random operations are done to both, and whatever can be seen of the one
//! must be what the other says, after every step.
//!
//! Only one thread runs, time passes when a script says so, and each flight's task has a runtime of its
//! own that runs when a script says so: a script is one certain order. Where several tasks could go on, the
//! script says which does. What threads do to each other is not seen here.
//!
//! `PROPTEST_CASES` sets how many scripts are tried. One that fails is shrunk and printed, an operation a
//! line, with what it came to up to the step that differs. It is not kept in a file: what it shows belongs
//! in a test of its own, under its name.

#![cfg(not(shuttle))]

mod case;
mod job;
mod model;
mod outcome;
mod rig;
mod script;

use std::env;

use proptest::proptest;
use proptest::test_runner::{Config, RngAlgorithm};

use crate::case::Case;
use crate::script::script;

proptest! {
    #![proptest_config(config())]

    // 1 to 20, 23 and 25: each is stated where the model obeys it.
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
    // What it says is in the default already.
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.failure_persistence = None;
    // In an unoptimised build the default one takes most of the time.
    config.rng_algorithm = RngAlgorithm::XorShift;
    config
}
