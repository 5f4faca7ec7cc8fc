//! [`CacheError`]: why a folder cannot be used for a cache.

use std::fmt;
use std::path::PathBuf;

/// Why a folder cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// The path is a symbolic link, or no folder.
    NotAFolder(PathBuf),
    /// The folder belongs to another user.
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        expected: u32,
    },
    /// Users other than its owner may write to the folder.
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The folder could not be created or opened.
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a folder of this user that no other user can write to, as what it holds is run; got ",
        )?;
        match self {
            Self::NotAFolder(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path}, a symbolic link or no folder; remove it, or pass the folder itself"
                )
            }
            Self::Foreign {
                path,
                owner,
                expected,
            } => {
                let path = path.display();
                write!(
                    f,
                    "{path}, which belongs to user {owner} and not to {expected}; choose another folder"
                )
            }
            Self::Writable { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "{path}, which others can write to (permissions {mode:04o}); empty it, then chmod 700 {path}"
                )
            }
            Self::Unusable { path, reason } => {
                let path = path.display();
                write!(
                    f,
                    "{path}, which cannot be used: {reason}; choose another folder"
                )
            }
        }
    }
}

impl std::error::Error for CacheError {}
