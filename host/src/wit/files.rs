//! [`WitFiles`]: the texts of a WIT package and of those that it uses.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use wit_parser::SourceMap;

use super::error::WitError;

/// The maximum size of all texts, in bytes. That of WASI has 150 KiB.
const MAX_BYTES: usize = 1 << 20;

/// The maximum number of entries of folders that are read.
const MAX_ENTRIES: usize = 1_000;

/// The texts of packages, the main one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WitFiles(Vec<Vec<WitFile>>);

/// A file of a WIT package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitFile {
    /// Its path, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl WitFiles {
    /// Reads the file or the folder at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, WitError> {
        let mut reading = Reading::default();
        let mut packages = Vec::new();
        if !is_folder(path)? {
            packages.push(vec![reading.file(path)?]);
            return Ok(Self(packages));
        }
        let main = reading.folder(path)?;
        if main.is_empty() {
            return Err(WitError::NoWit(path.to_owned()));
        }
        packages.push(main);
        let deps = path.join("deps");
        if deps.is_dir() {
            for entry in reading.entries(&deps)? {
                if is_folder(&entry)? {
                    packages.push(reading.folder(&entry)?);
                } else if is_wit(&entry) {
                    packages.push(vec![reading.file(&entry)?]);
                }
            }
        }
        packages.retain(|package| !package.is_empty());
        Ok(Self(packages))
    }

    pub(super) fn of_packages(packages: Vec<Vec<WitFile>>) -> Self {
        Self(packages)
    }

    /// The files of each package.
    pub(super) fn files(&self) -> &[Vec<WitFile>] {
        &self.0
    }

    /// The texts of each package, for the parser.
    pub(super) fn packages(&self) -> impl Iterator<Item = SourceMap> {
        self.0.iter().map(|files| {
            let mut map = SourceMap::default();
            for WitFile { name, text } in files {
                map.push_str(name, text.as_str());
            }
            map
        })
    }

    #[cfg(test)]
    pub(super) fn of_text(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self(vec![vec![WitFile { name, text }]])
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Reading {
    bytes: usize,
    entries: usize,
}

impl Reading {
    /// The WIT files in `folder`, and in none of its folders.
    fn folder(&mut self, folder: &Path) -> Result<Vec<WitFile>, WitError> {
        let mut files = Vec::new();
        for entry in self.entries(folder)? {
            if is_wit(&entry) && !is_folder(&entry)? {
                files.push(self.file(&entry)?);
            }
        }
        Ok(files)
    }

    /// What there is in `folder`, in the order of the names.
    fn entries(&mut self, folder: &Path) -> Result<Vec<PathBuf>, WitError> {
        let unreadable = |error| unreadable(folder, &error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let (limit, of) = (MAX_ENTRIES, "files");
                return Err(WitError::TooMuch { limit, of });
            }
            entries.push(entry.map_err(unreadable)?.path());
        }
        entries.sort();
        Ok(entries)
    }

    fn file(&mut self, path: &Path) -> Result<WitFile, WitError> {
        let unreadable = |error| unreadable(path, &error);
        // Before it is opened: opening a pipe waits for its writer.
        if !path.metadata().map_err(unreadable)?.is_file() {
            return Err(WitError::NoFile(path.to_owned()));
        }
        let mut text = String::new();
        let room = MAX_BYTES - self.bytes;
        let mut file = File::open(path).map_err(unreadable)?.take(room as u64 + 1);
        let read = file.read_to_string(&mut text).map_err(unreadable)?;
        if read > room {
            let (limit, of) = (MAX_BYTES, "bytes");
            return Err(WitError::TooMuch { limit, of });
        }
        self.bytes += read;
        let name = path.display().to_string();
        Ok(WitFile { name, text })
    }
}

fn is_folder(path: &Path) -> Result<bool, WitError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    Ok(metadata.is_dir())
}

fn is_wit(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wit")
}

fn unreadable(path: &Path, error: &std::io::Error) -> WitError {
    WitError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
