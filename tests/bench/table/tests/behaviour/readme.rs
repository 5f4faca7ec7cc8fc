//! The table as the README has it, between two markers. Nothing else of the README is read or written.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::rows::{self, Row};
use crate::seen::Question;

const BEGIN: &str = "<!-- behaviour -->";
const END: &str = "<!-- /behaviour -->";

/// Compares the README with the table, or with `BLESS` in the environment puts the table into it.
pub(crate) fn compare() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path: PathBuf = package.join("../../../host/single-flight/README.md");
    let text = fs::read_to_string(&path).expect("the crate has a README");
    let (before, rest) = text.split_once(BEGIN).expect("the README marks the table");
    let (found, after) = rest.split_once(END).expect("the README ends the table");
    let lock = fs::read_to_string(package.join("../../../Cargo.lock"))
        .expect("the workspace has a lock file");
    let table = table(&lock);
    if env::var_os("BLESS").is_some() {
        let text = [before, BEGIN, &table, END, after].concat();
        fs::write(&path, text).expect("the README can be written");
    } else {
        assert!(
            found == table,
            "the README has another table, run this with BLESS=1 and read what changes:\n{table}"
        );
    }
}

fn table(lock: &str) -> String {
    let headings = Question::ALL.map(Question::heading).join(" | ");
    let rule = "|---".repeat(Question::ALL.len() + 1);
    let rows = rows::ALL.map(|row| line(row, lock)).concat();
    format!("\n| | {headings} |\n{rule}|\n{rows}")
}

fn line(row: &Row, lock: &str) -> String {
    let name = match row.package {
        None => row.name.to_owned(),
        Some(package) if package == row.name => format!("{package} {}", version(package, lock)),
        Some(package) => format!("{}, {package} {}", row.name, version(package, lock)),
    };
    let cells = row.seen.map(|seen| seen.to_string()).join(" | ");
    format!("| {name} | {cells} |\n")
}

/// The version of a package that these tests were built with.
fn version<'a>(package: &str, lock: &'a str) -> &'a str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry).expect("the package is locked");
    let (version, _) = rest.split_once('"').expect("a version ends");
    version
}
