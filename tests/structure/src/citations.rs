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
    /// number that nothing cites, a citation of a number that the document does not have.
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
                cited.insert(number);
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
}
