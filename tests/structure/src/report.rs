//! A graph and its cycles as text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::graph::{Cycle, Edge, Graph};

/// How many places of one edge are printed.
const PLACES: usize = 6;

/// Where a list of imports is broken.
const WIDTH: usize = 110;

/// The modules of `graph`, top to bottom, each with what it imports: no module imports one above it,
/// except within a cycle, whose modules carry its number.
#[must_use]
pub fn layers(graph: &Graph) -> String {
    let mut numbers = BTreeMap::new();
    let mut text = String::new();
    let longest = graph.modules.iter().map(String::len).max().unwrap_or(0);
    let mut cycles = 0;
    let components = graph.components();
    let mut places = vec![0; graph.modules.len()];
    for (place, module) in components.iter().flatten().enumerate() {
        places[*module] = place;
    }
    for component in &components {
        if component.len() > 1 {
            cycles += 1;
        }
        for module in component {
            if component.len() > 1 {
                numbers.insert(*module, cycles);
            }
        }
    }
    for module in components.iter().flatten() {
        let mark = match numbers.get(module) {
            Some(number) => format!("cycle {number}"),
            None => String::new(),
        };
        let mut imports: Vec<_> = graph.imports(*module).collect();
        imports.sort_by_key(|import| places[*import]);
        let names: Vec<_> = imports.iter().map(|m| graph.modules[*m].as_str()).collect();
        let head = format!("{mark:8} {:longest$}  ", graph.modules[*module]);
        text.push_str(&wrapped(&head, &names));
    }
    text
}

/// `head`, then the names, broken into lines that start where the first one did.
fn wrapped(head: &str, names: &[&str]) -> String {
    let mut text = String::new();
    let mut line = head.to_owned();
    for (place, name) in names.iter().enumerate() {
        if line.len() > head.len() && line.len() + name.len() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(head.len());
        }
        line.push_str(name);
        if place + 1 < names.len() {
            line.push_str(", ");
        }
    }
    let _ = writeln!(text, "{}", line.trim_end());
    text
}

/// The cycles of `graph`, each with the names that tie it. `title` says which crate it is.
#[must_use]
pub fn cycles(title: &str, graph: &Graph) -> Vec<String> {
    let cycles = graph.cycles();
    cycles
        .iter()
        .map(|cycle| described(title, graph, cycle))
        .collect()
}

fn described(title: &str, graph: &Graph, cycle: &Cycle) -> String {
    let named = |modules: &[usize], between: &str| {
        let names: Vec<_> = modules.iter().map(|m| graph.modules[*m].as_str()).collect();
        names.join(between)
    };
    let (count, modules) = (cycle.modules.len(), named(&cycle.modules, ", "));
    let mut text = format!("{title}: {count} modules import one another: {modules}\n");
    for path in &cycle.paths {
        let _ = writeln!(
            text,
            "  {} -> {}",
            named(path, " -> "),
            graph.modules[path[0]]
        );
        for (place, from) in path.iter().enumerate() {
            let to = path[(place + 1) % path.len()];
            text.push_str(&edges(graph, *from, to));
        }
    }
    text.push_str("  move the shared names into a module below both\n");
    text
}

/// What one module imports from another: a line each, empty where there is nothing.
#[must_use]
pub fn edges(graph: &Graph, from: usize, to: usize) -> String {
    let Some(Edge { uses }) = graph.edges.get(&(from, to)) else {
        return String::new();
    };
    // Each name once, where it is used first.
    let mut names = BTreeMap::new();
    for used in uses {
        names.entry(&used.name).or_insert((&used.file, used.line));
    }
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, place) in names {
        lines.entry(place).or_default().push(name.as_str());
    }
    let mut text = String::new();
    let (from, to) = (&graph.modules[from], &graph.modules[to]);
    for ((file, line), names) in lines.iter().take(PLACES) {
        let names = names.join(", ");
        let _ = writeln!(
            text,
            "    {}:{line}: {from} imports {names} of {to}",
            file.display()
        );
    }
    if lines.len() > PLACES {
        let _ = writeln!(text, "    and {} more", lines.len() - PLACES);
    }
    text
}
