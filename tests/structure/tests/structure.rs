//! What the sources of this workspace obey, beside what compilers and lints check.

use std::path::Path;

use oneflight_structure::{Crate, Graph, Workspace, cycles};

#[test]
fn imports_form_no_cycle() {
    let found = all_cycles(|graph| graph);
    assert!(found.is_empty(), "\n{found}");
}

/// A crate can be read from top to bottom, one folder after the other.
#[test]
fn imports_of_top_level_modules_form_no_cycle() {
    let found = all_cycles(|graph| graph.top_level());
    assert!(found.is_empty(), "\n{found}");
}

/// The cycles of every crate, in the view of its graph that is given.
fn all_cycles(view: impl Fn(Graph) -> Graph) -> String {
    let workspace = Workspace::here();
    let read = |file: &Path| workspace.read(file);
    let cycles_of = |file: &Path| {
        let graph = Graph::new(&Crate::read(file, &read).unwrap());
        cycles(&file.display().to_string(), &view(graph))
    };
    let targets = workspace.targets().unwrap();
    targets
        .iter()
        .map(|target| cycles_of(&target.file))
        .collect()
}
