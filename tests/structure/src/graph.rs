//! Which module of a crate imports which, and the cycles among them.
//!
//! # What an edge is
//!
//! - An edge goes from the module in which a path is written to the module that *declares* what the path
//!   names. Re-exports are followed: `use crate::client::Key` is an edge to `client::items`, if that is
//!   where `Key` is declared and `client` only re-exports it.
//! - `mod child;` is no edge, and neither is the re-export of what a module below declares. So a module
//!   that only re-exports its children may be named by them.
//! - Where that module uses such a name in its own items, that is an edge to the child.
//! - A module by itself (`use crate::client;`) is no edge; each path through it (`client::Key`) is one.
//!   A glob import is an edge to the module that it names, except for the re-export of one below.
//! - A path into another crate is no edge. A name of another crate that a module re-exports counts as
//!   declared there: a shim that chooses between two crates is a module like any other.
//!
//! # What it does not see
//!
//! Methods and fields, which need no path; names in the text of attributes and format strings; what
//! macros expand to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::modules::Crate;
use crate::references::{Binding, Import};
use crate::resolve::Target;

/// The modules of a crate and the edges between them.
#[derive(Debug, Default)]
pub struct Graph {
    /// The names of the modules; the first is the root.
    pub modules: Vec<String>,
    /// By the importing and the imported module.
    pub edges: BTreeMap<(usize, usize), Edge>,
}

/// All that one module imports from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// In the order of their lines.
    pub uses: BTreeSet<Use>,
}

/// One name that a module imports from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The file of the importing module.
    pub file: PathBuf,
    /// Where in that file.
    pub line: usize,
    /// The item, as its own module names it; `*` for all of them.
    pub name: String,
}

/// Modules that import one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Every module of the strongly connected component, in the order of their names.
    pub modules: Vec<usize>,
    /// Short ways round, each module of the component on at least one of them; the shortest come first.
    pub paths: Vec<Vec<usize>>,
}

impl Graph {
    /// The graph of one crate.
    #[must_use]
    pub fn new(of: &Crate) -> Self {
        let mut graph = Self {
            modules: of.modules.iter().map(|m| m.name.clone()).collect(),
            edges: BTreeMap::new(),
        };
        for (from, module) in of.modules.iter().enumerate() {
            for import in &module.imports {
                for target in of.resolve(from, &import.path.segments) {
                    graph.add_import(of, from, import, target);
                }
            }
            for reference in &module.references {
                for target in of.resolve(from, &reference.segments) {
                    if let Target::Item { module, name } = target {
                        graph.add(of, from, module, reference.line, name);
                    }
                }
            }
        }
        graph
    }

    fn add_import(&mut self, of: &Crate, from: usize, import: &Import, target: Target) {
        let (to, name) = match target {
            Target::Item { module, name } => (module, name),
            Target::Module(module) if import.binding == Binding::Glob => (module, "*".to_owned()),
            Target::Module(_) => return,
        };
        if !(import.reexported && of.is_within(to, from)) {
            self.add(of, from, to, import.path.line, name);
        }
    }

    fn add(&mut self, of: &Crate, from: usize, to: usize, line: usize, name: String) {
        if from != to {
            let file = of.modules[from].file.clone();
            let edge = self.edges.entry((from, to)).or_default();
            edge.uses.insert(Use { file, line, name });
        }
    }

    /// The same graph with every module counted as part of the one right below the root that holds it.
    #[must_use]
    pub fn top_level(&self) -> Self {
        let top = |module: usize| self.modules[module].split("::").next().unwrap_or_default();
        let mut graph = Self::default();
        let mut places = BTreeMap::new();
        for module in 0..self.modules.len() {
            places.entry(top(module)).or_insert_with(|| {
                graph.modules.push(top(module).to_owned());
                graph.modules.len() - 1
            });
        }
        for ((from, to), edge) in &self.edges {
            let (from, to) = (places[top(*from)], places[top(*to)]);
            if from != to {
                let all = graph.edges.entry((from, to)).or_default();
                all.uses.extend(edge.uses.iter().cloned());
            }
        }
        graph
    }

    /// Modules that `from` imports.
    pub(crate) fn imports(&self, from: usize) -> impl Iterator<Item = usize> {
        let row = (from, 0)..=(from, usize::MAX);
        self.edges.range(row).map(|((_, to), _)| *to)
    }

    /// The cycles, those with the fewest modules first.
    #[must_use]
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles: Vec<_> = self
            .components()
            .into_iter()
            .filter(|modules| modules.len() > 1)
            .map(|modules| self.cycle(modules))
            .collect();
        cycles.sort_by_key(|cycle| cycle.modules.len());
        cycles
    }

    fn cycle(&self, mut modules: Vec<usize>) -> Cycle {
        modules.sort_by_key(|module| &self.modules[*module]);
        let mut paths: Vec<Vec<usize>> = Vec::new();
        let mut shortest: Vec<_> = modules.iter().map(|m| self.way_round(*m)).collect();
        shortest.sort_by_key(Vec::len);
        for path in shortest {
            let seen = |known: &Vec<usize>| {
                known.len() == path.len() && known.iter().all(|module| path.contains(module))
            };
            if !paths.iter().any(seen) {
                paths.push(path);
            }
        }
        Cycle { modules, paths }
    }

    /// The shortest way from a module on a cycle back to itself, without the module's second mention.
    fn way_round(&self, start: usize) -> Vec<usize> {
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = VecDeque::from([start]);
        while let Some(module) = next.pop_front() {
            for to in self.imports(module) {
                if to == start {
                    let mut path = vec![module];
                    while path[path.len() - 1] != start {
                        path.push(before[&path[path.len() - 1]]);
                    }
                    path.reverse();
                    return path;
                }
                before.entry(to).or_insert_with(|| {
                    next.push_back(to);
                    module
                });
            }
        }
        vec![start]
    }

    /// The strongly connected components, top to bottom: none imports one before it.
    pub(crate) fn components(&self) -> Vec<Vec<usize>> {
        let mut search = Search {
            graph: self,
            order: vec![None; self.modules.len()],
            low: vec![0; self.modules.len()],
            open: Vec::new(),
            count: 0,
            found: Vec::new(),
        };
        // From the last to the first, as what is found last stands on top: the root does, then the order
        // in which modules are declared.
        for module in (0..self.modules.len()).rev() {
            if search.order[module].is_none() {
                search.visit(module);
            }
        }
        search.found.reverse();
        search.found
    }
}

/// Tarjan's algorithm.
struct Search<'g> {
    graph: &'g Graph,
    /// When a module was visited.
    order: Vec<Option<usize>>,
    /// The earliest open module that it reaches.
    low: Vec<usize>,
    /// Modules that are visited and not yet part of a component.
    open: Vec<usize>,
    count: usize,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&mut self, module: usize) -> usize {
        let order = self.count;
        self.count += 1;
        self.order[module] = Some(order);
        self.low[module] = order;
        self.open.push(module);
        for to in self.graph.imports(module) {
            match self.order[to] {
                None => self.low[module] = self.low[module].min(self.visit(to)),
                Some(seen) if self.open.contains(&to) => {
                    self.low[module] = self.low[module].min(seen);
                }
                Some(_) => {}
            }
        }
        if self.low[module] == order {
            let first = self.open.iter().position(|open| *open == module);
            self.found.push(self.open.split_off(first.unwrap_or(0)));
        }
        self.low[module]
    }
}

#[cfg(test)]
mod tests;
