//! The table, its peers and the floors under all of them, measured in turns.
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
//! - All participants are measured in every round of one run, in a different order each round, and a ratio is
//!   the median of the rounds' ratios ([`harness::turns`]). That is why this is not criterion or divan: both
//!   finish with one participant before they begin with the next.
//! - The same code drives every contestant through one trait ([`coalescer`]), and each is written as an expert
//!   would write it ([`contestants`]). So are the floors: the cost of spawning a task and of waking a caller,
//!   with nothing shared.
//! - The work is next to nothing, so that the coalescer is measured and not the work ([`work`]).
//! - What a clock cannot show, or not on a machine with other load, is counted: instructions
//!   ([`instructions`]), bytes and allocations ([`heap`]), executions, and results that are older than the call
//!   ([`zipf`]). Counting runs in processes of its own, so that it does not slow down what is timed.
//! - Marks compare figures with their targets. They are a report and not a test: one that is not met fails
//!   nothing.
//! - Go's singleflight takes part with the same loads, in its own process ([`go`]).
//!
//! Without Go or valgrind the tables have `NOT RUN` in their rows. Figures of two machines, or of two runs on one
//! machine, cannot be compared: ratios within a run can.
//!
//! # What it leaves out
//!
//! It keeps no history and draws no plots. What a contestant does when a caller is dropped or the work panics is
//! left to tests, which use the same contestants.

pub mod coalescer;
pub mod contestants;
pub mod counted;
pub mod crowd;
pub mod effort;
pub mod go;
pub mod heap;
pub mod instructions;
pub mod lineup;
pub mod loads;
pub mod parked;
pub mod polled;
pub mod runtime;
pub mod samples;
pub mod skew;
pub mod tasks;
pub mod uncontended;
pub mod work;
pub mod zipf;
