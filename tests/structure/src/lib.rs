//! Reads the sources of the workspace as text and as syntax, so that tests can assert their structure.
//!
//! It builds nothing that it reads. `cargo run -p oneflight-structure -- graph host` prints the modules
//! of a crate, top to bottom; `tests/structure.rs` asserts the rules.
//!
//! | module | holds |
//! |---|---|
//! | [`workspace`] | the crates of the workspace, as Cargo lists them |
//! | [`modules`] | the modules of one crate, with the names that each declares, imports and uses |
//! | [`graph`] | which module imports which, and the cycles among them |
//! | [`report`] | that graph and its cycles as text |

mod graph;
mod modules;
mod references;
mod report;
mod resolve;
mod workspace;

pub use graph::{Cycle, Edge, Graph, Use};
pub use modules::{Crate, Module};
pub use report::{cycles, edges, layers};
pub use workspace::{Target, Workspace};
