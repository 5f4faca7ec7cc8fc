//! Plain words: a list of those that this project used in a sense of its own, with what to write.
//!
//! They are looked for in comments, documents, strings and identifiers alike: `UnderWay` and `under_way`
//! count as "under way". A phrase is found across the end of a line, too. Only words that have no plain
//! use here are listed. "What was" is not: "what was found" is plain English, a riddle needs a reader.

use std::path::Path;

use anyhow::Result;

use crate::text::{Word, words};
use crate::workspace::Workspace;

/// Files that are read, by their endings.
const EXTENSIONS: [&str; 6] = ["html", "js", "md", "rs", "toml", "wit"];

/// Files that are not: this list, and the lists of what once had such a name.
const EXCEPT: [&str; 3] = [
    "tests/structure/src/prose.rs",
    "host/src/config/renamed.rs",
    "CHANGELOG.md",
];

/// Words and phrases in lower case, in the order of the alphabet, with what to write in their place.
const WORDS: [(&str, &str); 18] = [
    ("anew", "again, or fresh"),
    ("asked", "requested, called or read"),
    ("boarding", "joining"),
    ("come by", "obtained"),
    ("doors", "listeners"),
    ("found another", "got, as in `expected X, got Y; do Z`"),
    ("look at", "read, check or observe"),
    ("looked at", "read, checked or observed"),
    ("looking at", "reading, checking or observing"),
    ("looks at", "reads, checks or observes"),
    (
        "nobody",
        "no caller, no observer, or what else there is none of",
    ),
    ("said", "set, stated, reported or printed"),
    ("somebody", "a caller, a user or an observer"),
    ("told", "gets, receives, is notified or recorded"),
    ("under way", "in flight, open or running"),
    ("which is what", "it directly, in a sentence of its own"),
    ("whoever", "the caller, or the part by its name"),
    ("wishes", "preferences"),
];

/// A word that is not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idiom {
    /// Where it starts.
    pub line: usize,
    /// The word or phrase, as the list has it.
    pub words: &'static str,
    /// What to write.
    pub instead: &'static str,
}

/// The idioms in `text`, in the order of their lines.
#[must_use]
pub fn idioms(text: &str) -> Vec<Idiom> {
    let words = words(text);
    let mut found = Vec::new();
    for place in 0..words.len() {
        for (phrase, instead) in WORDS {
            if starts_with(&words[place..], phrase) {
                found.push(Idiom {
                    line: words[place].line,
                    words: phrase,
                    instead,
                });
            }
        }
    }
    found
}

impl Workspace {
    /// The idioms in the files below `folder`, a line each.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn idioms(&self, folder: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (file, text) in self.files(folder, &EXTENSIONS)? {
            if EXCEPT.iter().any(|except| Path::new(except) == file) {
                continue;
            }
            for Idiom {
                line,
                words,
                instead,
            } in idioms(&text)
            {
                lines.push(format!(
                    "{}:{line}: \"{words}\": write {instead}",
                    file.display()
                ));
            }
        }
        Ok(lines)
    }
}

fn starts_with(words: &[Word], phrase: &str) -> bool {
    let mut words = words.iter();
    phrase.split(' ').enumerate().all(|(place, expected)| {
        words
            .next()
            .is_some_and(|word| word.lower == expected && (place == 0 || word.follows))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        idioms(text)
            .iter()
            .map(|idiom| (idiom.line, idiom.words))
            .collect()
    }

    #[test]
    fn words_are_found_in_comments_strings_and_identifiers() {
        assert_eq!(found("/// Starts anew.\n"), [(1, "anew")]);
        assert_eq!(found("\n\"Nobody listens\""), [(2, "nobody")]);
        assert_eq!(
            found("struct UnderWay;\nfn told_by() {}"),
            [(1, "under way"), (2, "told")]
        );
        assert_eq!(found("get-items-anew"), [(1, "anew")]);
    }

    #[test]
    fn phrases_are_found_across_lines() {
        assert_eq!(
            found("    /// flights under\n    /// way end"),
            [(1, "under way")]
        );
        assert_eq!(found("# flights under\n# way end"), [(1, "under way")]);
    }

    #[test]
    fn plain_english_passes() {
        for text in [
            "unfolded, untold, saidly, renewed, manewer",
            "go under. Way of a call",
            "under(way)",
            "what was found; a door; the look-up of a wish",
            "the caller looks up whatever it needs",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
