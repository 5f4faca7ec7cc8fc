//! A temporary folder of one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is empty at first; dropping this value removes it with its content.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates it.
    ///
    /// # Panics
    ///
    /// When the system refuses to create it.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it makes something in the world outside"
    )]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("oneflight-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns the file's path.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a written file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// The sorted names of its entries.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it fails, the test has failed before, or a temporary folder is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}
