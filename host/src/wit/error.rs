//! [`WitError`]: why a WIT package cannot be read.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use crate::printable::{bounded, printable};

/// Why a WIT package cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitError {
    /// A file or a folder cannot be read.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// There is neither a file nor a folder at this path.
    NoFile(PathBuf),
    /// A folder without WIT files.
    NoWit(PathBuf),
    /// The files have more than this many bytes together, or there are more of them than this.
    TooMuch {
        /// The limit.
        limit: usize,
        /// What it limits.
        of: &'static str,
    },
    /// It is not valid.
    Invalid {
        /// The file, the line and the column.
        place: String,
        /// What is wrong there.
        why: String,
    },
}

impl Display for WitError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => write!(f, "could not read {}: {why}", path.display()),
            Self::NoFile(path) => {
                let path = path.display();
                write!(
                    f,
                    "expected a WIT file or a folder of them at {path}, got something else"
                )
            }
            Self::NoWit(path) => {
                let path = path.display();
                write!(
                    f,
                    "expected WIT files in the folder {path}, got none; name the folder that has them"
                )
            }
            Self::TooMuch { limit, of } => write!(
                f,
                "expected at most {limit} {of} of WIT, got more; name the file of the component's own package"
            ),
            // The parser's reasons have several lines.
            Self::Invalid { place, why } => {
                let why: Vec<_> = why.split_whitespace().collect();
                write!(f, "{place}: {}", printable(&bounded(why.join(" "))))
            }
        }
    }
}

impl std::error::Error for WitError {}
