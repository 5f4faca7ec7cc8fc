//! The contract of the table (`CONTRACT.md`), one behaviour per test. Each test cites the numbers that it
//! proves.
//!
//! Nothing here sleeps or depends on time. The tests poll the calls by hand and choose when the tasks of
//! flights run, so each order of join, leave, land, panic and cancel is deterministic.

#![cfg(not(shuttle))]

mod bounds;
mod cancellation;
mod drain;
mod fresh;
mod harness;
mod identity;
mod nesting;
mod observer;
mod outcome;
mod panics;
mod policy;
mod threads;
mod visit;
