//! How the benchmarks measure, and how they say what they found.
//!
//! It is a package of its own so that a benchmark builds with what it measures and nothing else: the
//! peers of one would bring features that change how the other's dependencies are built.

pub mod machine;
pub mod report;
pub mod turns;
