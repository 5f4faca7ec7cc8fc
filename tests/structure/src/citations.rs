//! Numbered promises of a document against the comments of tests that cite them.
//!
//! A citation is a comment: `// contract 16`, or `// contract 8, 9` for several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How a document numbers its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// A numbered list: `16. A cancelled flight accepts no joiner.`
    List,
    /// The first column of a table: `| 16 | one caller with a short deadline |`.
    Table,
}

/// A document with numbered promises.
#[derive(Clone, Copy, Debug)]
pub struct Document<'d> {
    /// Its file, for messages.
    pub file: &'d Path,
    /// Its text.
    pub text: &'d str,
    /// How it numbers its promises.
    pub numbering: Numbering,
    /// The word before the number in a citation.
    pub word: &'d str,
}

impl Document<'_> {
    /// Each number with the line that it stands on.
    fn numbers(&self) -> Vec<(u32, usize)> {
        let number = |line: &str| match self.numbering {
            Numbering::List => line.split_once(". ")?.0.parse().ok(),
            Numbering::Table => {
                let cell = line.strip_prefix('|')?.split_once('|')?.0;
                cell.trim().parse().ok()
            }
        };
        let lines = (1..).zip(self.text.lines());
        lines
            .filter_map(|(place, line)| Some((number(line)?, place)))
            .collect()
    }

    /// What is wrong with the citations in `sources`, a line each: a number twice in the document, a
    /// number that no test cites, a citation of a number that the document does not have, a citation outside of
    /// tests, which proves nothing.
    #[must_use]
    pub fn mismatches(&self, sources: &[(PathBuf, String)]) -> Vec<String> {
        let Self { file, word, .. } = self;
        let file = file.display();
        let mut found = Vec::new();
        let mut numbers = BTreeMap::new();
        for (number, line) in self.numbers() {
            if let Some(first) = numbers.insert(number, line) {
                found.push(format!(
                    "{file}:{line}: expected each number once, got {number} as in line {first}"
                ));
            }
        }
        if numbers.is_empty() {
            found.push(format!("{file}: expected numbered promises, got none"));
        }
        let mut cited = BTreeSet::new();
        for (source, text) in sources {
            for (line, number) in citations(text, word) {
                if is_in_test(source, text, line) {
                    cited.insert(number);
                } else {
                    let source = source.display();
                    found.push(format!(
                        "{source}:{line}: expected a citation of {word} {number} at a test, got one outside of tests"
                    ));
                }
                if !numbers.contains_key(&number) {
                    let source = source.display();
                    found.push(format!("{source}:{line}: {word} {number} is not in {file}"));
                }
            }
        }
        for (number, line) in numbers {
            if !cited.contains(&number) {
                found.push(format!(
                    "{file}:{line}: no test cites {word} {number}; write `// {word} {number}` at the one that proves it"
                ));
            }
        }
        found
    }
}

/// The numbers that comments cite after `word`, each with its line.
fn citations(text: &str, word: &str) -> Vec<(usize, u32)> {
    let start = format!("// {word} ");
    let mut found = Vec::new();
    for (place, line) in (1..).zip(text.lines()) {
        let Some((_, mut rest)) = line.split_once(&start) else {
            continue;
        };
        loop {
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            let (number, after) = rest.split_at(digits.unwrap_or(rest.len()));
            let Ok(number) = number.parse() else { break };
            found.push((place, number));
            match after.strip_prefix(", ") {
                Some(next) => rest = next,
                None => break,
            }
        }
    }
    found
}

/// Whether a line of a file is part of a test: of an integration test, of a module `tests` in a file of its own, or
/// below the first `#[cfg(test)]` of a library's file.
fn is_in_test(file: &Path, text: &str, line: usize) -> bool {
    let in_library = file.components().any(|part| part.as_os_str() == "src");
    let starts_tests =
        |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
    !in_library
        || file.file_stem().is_some_and(|stem| stem == "tests")
        || text.lines().take(line).any(starts_tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str, numbering: Numbering) -> Document<'_> {
        Document {
            file: Path::new("CONTRACT.md"),
            text,
            numbering,
            word: "contract",
        }
    }

    #[test]
    fn a_list_and_a_table_are_numbered() {
        let list = "# Title 1. no\n\n1. First\n   2 lines.\n12. Twelfth. 13. no\n";
        assert_eq!(document(list, Numbering::List).numbers(), [(1, 3), (12, 5)]);
        let table = "| # | case |\n|---|---|\n| 1 | x | 2 |\n|31| y |\n";
        assert_eq!(
            document(table, Numbering::Table).numbers(),
            [(1, 3), (31, 4)]
        );
    }

    #[test]
    fn citations_are_numbers_in_comments() {
        let text = "// contract 8, 9: both\nfn f() {} // contract 10\n/// contract 11, or so\n// contract x\n\"contract 12\"";
        assert_eq!(
            citations(text, "contract"),
            [(1, 8), (1, 9), (2, 10), (3, 11)]
        );
        assert_eq!(citations(text, "fault"), []);
    }

    #[test]
    fn what_is_not_cited_or_not_promised_is_named_with_its_place() {
        let contract = document("1. a\n2. b\n2. c\n3. d\n", Numbering::List);
        let source = "// contract 1\n// contract 2, 7\n".to_owned();
        assert_eq!(
            contract.mismatches(&[(PathBuf::from("tests/a.rs"), source)]),
            [
                "CONTRACT.md:3: expected each number once, got 2 as in line 2",
                "tests/a.rs:2: contract 7 is not in CONTRACT.md",
                "CONTRACT.md:4: no test cites contract 3; write `// contract 3` at the one that proves it",
            ]
        );
        assert_eq!(
            document("", Numbering::List).mismatches(&[]),
            ["CONTRACT.md: expected numbered promises, got none"]
        );
    }

    #[test]
    fn only_a_test_proves_a_promise() {
        let contract = document("1. a\n", Numbering::List);
        let mismatches = |file: &str, text: &str| {
            let mismatches = contract.mismatches(&[(PathBuf::from(file), text.to_owned())]);
            mismatches.join("\n")
        };
        let cites = "// contract 1\n";
        for file in [
            "tests/promises/a.rs",
            "host/x/tests/a.rs",
            "host/x/src/table/tests.rs",
        ] {
            assert_eq!(mismatches(file, cites), "", "{file}");
        }
        let in_tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{cites}}}\n");
        assert_eq!(mismatches("host/src/a.rs", &in_tests), "");
        for file in ["host/src/a.rs", "tests/src/a.rs"] {
            let outside = mismatches(file, cites);
            let expected = format!("{file}:1: expected a citation of contract 1 at a test");
            assert!(outside.starts_with(&expected), "{outside}");
            assert!(outside.contains("no test cites contract 1"), "{outside}");
        }
    }
}
