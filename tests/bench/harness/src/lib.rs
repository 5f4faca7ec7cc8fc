//! What the benchmarks share: how they measure in turns, how they report, and how they start the processes
//! that take part.
//!
//! It is a separate package, so that each benchmark builds with what it measures and nothing else: the
//! peers of one would enable features of dependencies that the other measures.

#[cfg(feature = "processes")]
#[path = "../../../src/binary.rs"]
mod binary;
pub mod machine;
#[cfg(feature = "processes")]
pub mod oneflight;
#[cfg(feature = "processes")]
pub mod process;
pub mod procfs;
pub mod report;
pub mod turns;
#[cfg(feature = "processes")]
pub mod upstream;
