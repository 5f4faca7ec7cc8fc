//! What the sources of this workspace obey, beside what compilers and lints check.

use std::path::{Path, PathBuf};

use anyhow::Result;
use oneflight_structure::{Crate, Document, Graph, Numbering, Workspace};
use oneflight_structure::{anchors, cycles, deviations, links, shared_names, unrun_samples};

#[test]
fn imports_form_no_cycle() -> Result<()> {
    assert_none(&all_cycles(|graph| graph)?);
    Ok(())
}

/// A crate can be read from top to bottom, one folder after the other.
#[test]
fn imports_of_top_level_modules_form_no_cycle() -> Result<()> {
    assert_none(&all_cycles(|graph| graph.top_level())?);
    Ok(())
}

#[test]
fn every_contract_number_is_cited() -> Result<()> {
    let sources = sources(&["host/single-flight/src", "host/single-flight/tests"])?;
    let file = Path::new("host/single-flight/CONTRACT.md");
    let contract = Document {
        file,
        text: &Workspace::here().read(file)?,
        numbering: Numbering::List,
        word: "contract",
    };
    assert_none(&contract.mismatches(&sources));
    Ok(())
}

#[test]
fn every_fault_row_is_cited() -> Result<()> {
    let sources = sources(&["host/src", "tests/promises", "tests/src"])?;
    let file = Path::new("tests/FAULTS.md");
    let faults = Document {
        file,
        text: &Workspace::here().read(file)?,
        numbering: Numbering::Table,
        word: "fault",
    };
    assert_none(&faults.mismatches(&sources));
    Ok(())
}

/// Private types count, too: a reader meets them like any other.
#[test]
fn no_two_types_share_a_name() -> Result<()> {
    let mut crates = Vec::new();
    for root in [
        "host/src/lib.rs",
        "host/src/main.rs",
        "host/single-flight/src/lib.rs",
    ] {
        crates.push(read_crate(Path::new(root))?);
    }
    assert_none(&shared_names(&crates));
    Ok(())
}

#[test]
fn rfc_citations_have_one_form() -> Result<()> {
    let mut found = Vec::new();
    for (file, text) in Workspace::here().files("", &["rs", "md", "toml", "wit"])? {
        // Its tests have every other form.
        if file != Path::new("tests/structure/src/rfc.rs") {
            let file = file.display();
            let lines = deviations(&text).into_iter();
            found.extend(lines.map(|(line, what)| format!("{file}:{line}: {what}")));
        }
    }
    assert_none(&found);
    Ok(())
}

#[test]
fn prose_has_no_private_idiom() -> Result<()> {
    assert_none(&Workspace::here().idioms("")?);
    Ok(())
}

/// In what users read first. The scripts are in `.ci/run`.
#[test]
fn every_command_and_sample_of_the_documentation_is_run() -> Result<()> {
    let workspace = Workspace::here();
    let ci = workspace.read(Path::new(".ci/run"))?;
    let script = |path: &str| {
        let is_run = path == ".ci/run" || ci.contains(path);
        is_run.then(|| workspace.read(Path::new(path)).ok())?
    };
    let mut found = Vec::new();
    let documents = workspace.files("host/docs", &["md"])?;
    let readme = Path::new("README.md");
    let readme = (readme.to_owned(), workspace.read(readme)?);
    for (file, text) in [readme].into_iter().chain(documents) {
        let problems = unrun_samples(&text, &script).into_iter();
        found.extend(problems.map(|(line, what)| format!("{}:{line}: {what}", file.display())));
    }
    assert_none(&found);
    Ok(())
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() -> Result<()> {
    let workspace = Workspace::here();
    let mut found = Vec::new();
    for (file, text) in workspace.files("", &["md"])? {
        for (line, link) in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                _ => file.with_file_name(path),
            };
            let target = workspace.root.join(target);
            let is_there = target.exists();
            let has_anchor = anchor.is_empty()
                || std::fs::read_to_string(&target)
                    .is_ok_and(|text| anchors(&text).iter().any(|has| has == anchor));
            if !is_there || !has_anchor {
                found.push(format!(
                    "{}:{line}: expected a target, got {link}",
                    file.display()
                ));
            }
        }
    }
    assert_none(&found);
    Ok(())
}

fn assert_none(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} found\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The cycles of every crate, in the view of its graph that is given.
fn all_cycles(view: impl Fn(Graph) -> Graph) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for target in Workspace::here().targets()? {
        let graph = view(Graph::new(&read_crate(&target.file)?));
        found.extend(cycles(&target.file.display().to_string(), &graph));
    }
    Ok(found)
}

fn read_crate(root: &Path) -> Result<Crate> {
    let workspace = Workspace::here();
    Crate::read(root, &|file| workspace.read(file))
}

/// Every Rust file of these folders, with its text.
fn sources(folders: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let mut sources = Vec::new();
    for folder in folders {
        sources.extend(Workspace::here().files(folder, &["rs"])?);
    }
    Ok(sources)
}
