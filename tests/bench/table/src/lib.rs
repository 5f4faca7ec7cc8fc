//! The table beside its peers and beside the floors under all of them, measured in turns.
//!
//! ```text
//! cargo bench -p oneflight-bench-table                  # everything, some minutes
//! cargo bench -p oneflight-bench-table -- zipf          # one section
//! cargo bench -p oneflight-bench-table -- --quick       # whether it runs, in seconds
//! cargo bench -p oneflight-bench-table -- --json        # for a program to read
//! ```
//!
//! # Method
//!
//! - Everyone who is compared is measured in every round of one run, in a different order each round, and
//!   a ratio is the median of the rounds' ratios ([`harness::turns`]). That is why this is not criterion or divan:
//!   both finish with one before they begin with the next.
//! - Every contestant is driven by the same code through one trait, and written as somebody who knows it
//!   well would write it ([`contestants`]). So are the floors: what spawning a task and waking a caller
//!   cost, with nothing shared.
//! - The work is next to nothing, so what is measured is what surrounds it ([`work`]).
//! - What a clock cannot show on a machine that is not quiet, or at all, is counted: instructions
//!   ([`instructions`]), bytes and allocations ([`heap`]), executions, and results that are older than the
//!   question ([`zipf`]). What counts runs in processes of its own, so that it does not slow what is timed.
//! - Marks say whether what was aimed at was reached. They are a report, not a test: one that is not met
//!   fails nothing.
//! - Go's singleflight takes part with the same loads, in its own process ([`go`]).
//!
//! Where Go or valgrind is missing, the tables say `NOT RUN`. Figures of two machines, or of two runs of
//! one, are not to be compared: ratios within a run are.
//!
//! # What it refuses to do
//!
//! It keeps no history and draws no curves. It does not look at what a contestant does when a caller is
//! dropped or the work panics: that is for tests, which can use the same contestants.

pub mod contestants;
pub mod counted;
pub mod crowd;
pub mod effort;
pub mod go;
pub mod heap;
pub mod instructions;
pub mod lineup;
pub mod parked;
pub mod polled;
pub mod skew;
pub mod tasks;
pub mod uncontended;
pub mod work;
pub mod zipf;
