//! Reads the sources of the workspace as text and as syntax, so that tests can assert their structure.
//!
//! It builds nothing that it reads. `tests/structure.rs` asserts the rules; `cargo run -p
//! oneflight-structure -- graph host` prints the modules of a crate, top to bottom.
//!
//! | module | holds |
//! |---|---|
//! | `workspace` | the crates and the text files of the repository |
//! | `modules` | the modules of one crate |
//! | `attributes`, `declared`, `references` | the attributes of an item, the names that it declares, and those that it uses |
//! | `resolve`, `graph` | which module imports which, and the cycles among them |
//! | `report` | that graph and its cycles as text |
//! | `types` | types that share a name |
//! | `citations` | promises with numbers, and the comments that cite them |
//! | `rfc` | the one form in which RFCs are cited |
//! | `prose`, `text` | words that are not plain |
//! | `samples`, `links` | commands and samples of the documentation, and the links in it |

mod attributes;
mod citations;
mod declared;
mod graph;
mod links;
mod modules;
mod prose;
mod references;
mod report;
mod resolve;
mod rfc;
mod samples;
mod text;
mod types;
mod workspace;

pub use citations::{Document, Numbering};
pub use graph::{Cycle, Edge, Graph, Use};
pub use links::{anchors, links};
pub use modules::{Crate, Module};
pub use prose::{Idiom, idioms};
pub use report::{cycles, edges, layers};
pub use rfc::deviations;
pub use samples::unrun_samples;
pub use types::shared_names;
pub use workspace::{Target, Workspace};
