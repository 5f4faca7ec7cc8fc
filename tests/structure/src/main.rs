//! Prints the modules of the workspace's crates and what they import from one another.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use oneflight_structure::{Crate, Graph, Target, Workspace, cycles, edges, layers};

/// Prints how the modules of a crate import one another, and which words are not plain.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every module with what it imports, top to bottom
    Graph {
        /// Print the modules right below the root, with all below them counted as theirs
        #[arg(long)]
        top_level: bool,
        /// Packages, folders or root files, such as host; without any, every crate
        crates: Vec<String>,
    },
    /// The cycles, with the names that tie them
    Cycles {
        /// Take the modules right below the root, with all below them counted as theirs
        #[arg(long)]
        top_level: bool,
        /// Packages, folders or root files, such as host; without any, every crate
        crates: Vec<String>,
    },
    /// What one module imports from another, and where
    Why {
        /// A package, folder or root file, such as host
        of: String,
        /// The importing module, such as client::limits; the root is called crate
        from: String,
        /// The imported module; without it, each that is imported
        to: Option<String>,
    },
    /// Words that are not plain, with what to write
    Prose {
        /// Folders, such as host/src/server; without any, the whole repository
        folders: Vec<String>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workspace = Workspace::here();
    let mut text = String::new();
    match arguments.command {
        Command::Graph { top_level, crates } => {
            for (target, graph) in graphs(&workspace, &crates, top_level)? {
                writeln!(text, "{}\n{}", target.file.display(), layers(&graph))?;
            }
        }
        Command::Cycles { top_level, crates } => {
            for (target, graph) in graphs(&workspace, &crates, top_level)? {
                text.extend(cycles(&target.file.display().to_string(), &graph));
            }
        }
        Command::Why { of, from, to } => {
            for (_, graph) in graphs(&workspace, &[of], false)? {
                let named = |name: &str| graph.modules.iter().position(|module| module == name);
                let Some(from) = named(&from) else { continue };
                for (place, module) in graph.modules.iter().enumerate() {
                    if to.as_ref().is_none_or(|to| to == module) {
                        text.push_str(&edges(&graph, from, place));
                    }
                }
            }
        }
        Command::Prose { mut folders } => {
            if folders.is_empty() {
                folders.push(String::new());
            }
            for folder in folders {
                for line in workspace.idioms(&folder)? {
                    writeln!(text, "{line}")?;
                }
            }
        }
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// The graphs of the crates that `names` select.
fn graphs(
    workspace: &Workspace,
    names: &[String],
    top_level: bool,
) -> Result<Vec<(Target, Graph)>> {
    let mut targets = workspace.targets()?;
    for name in names {
        let known = targets.iter().any(|target| selects(name, target));
        ensure!(
            known,
            "expected a package, a folder or a root file, got {name:?}"
        );
    }
    targets.retain(|target| names.is_empty() || names.iter().any(|name| selects(name, target)));
    let read = |file: &Path| workspace.read(file);
    let graph = |target: Target| {
        let of = Crate::read(&target.file, &read);
        let of = of.with_context(|| target.file.display().to_string())?;
        let graph = Graph::new(&of);
        let graph = if top_level { graph.top_level() } else { graph };
        Ok((target, graph))
    };
    targets.into_iter().map(graph).collect()
}

/// A folder selects the crates of the package in it, and not those of packages further down.
fn selects(name: &str, target: &Target) -> bool {
    let folder = ["src", "tests", "benches", "build.rs", "promises"];
    let rest = target.file.strip_prefix(name);
    target.package == name
        || rest.is_ok_and(|rest| {
            rest.as_os_str().is_empty() || folder.iter().any(|folder| rest.starts_with(folder))
        })
}
