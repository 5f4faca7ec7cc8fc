//! The table in the README, between two markers. Nothing else of the README is read or written.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::observation::Question;
use crate::rows::{self, Row};

const BEGIN: &str = "<!-- behaviour -->";
const END: &str = "<!-- /behaviour -->";

/// Compares the README with the table; with `BLESS` in the environment, writes the table into it.
pub(crate) fn compare() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path: PathBuf = package.join("../../../host/single-flight/README.md");
    let text = fs::read_to_string(&path).expect("the table has a README");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the README has the marker of the table's start");
    let (current, after) = rest
        .split_once(END)
        .expect("the README has the marker of the table's end");
    let lock = fs::read_to_string(package.join("../../../Cargo.lock"))
        .expect("the workspace has a lock file");
    let table = table(&lock);
    if env::var_os("BLESS").is_some() {
        let text = [before, BEGIN, &table, END, after].concat();
        fs::write(&path, text).expect("the README can be written");
    } else {
        assert!(
            current == table,
            "expected this table in the README; run the test with BLESS=1 and review the change:\n{table}"
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
    let cells = row.observations.map(|cell| cell.to_string()).join(" | ");
    format!("| {name} | {cells} |\n")
}

/// The version of a package that these tests were built with.
fn version<'a>(package: &str, lock: &'a str) -> &'a str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry).expect("the package is locked");
    let (version, _) = rest.split_once('"').expect("a version ends");
    version
}
