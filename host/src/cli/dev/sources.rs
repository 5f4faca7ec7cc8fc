//! [`Sources`]: the files whose changes start a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ignore::WalkBuilder;

/// A file, or the files in a folder and below it: not those that its `.gitignore` lists, such as the results of a build,
/// and none whose name begins with a dot.
///
/// The folder is read again each time. Notifications of the system would be missed on some network file systems, and end
/// where an editor replaces a file.
#[derive(Clone)]
pub(super) struct Sources {
    root: PathBuf,
    seen: Arc<Mutex<SourceFiles>>,
}

/// When each file was changed, and its size.
type SourceFiles = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Sources {
    pub(super) fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            seen: Arc::new(Mutex::new(files_of(root))),
        }
    }

    /// The files that were changed, added or removed since the last call, or since this was made. It blocks.
    pub(super) fn changes(&self) -> BTreeSet<PathBuf> {
        let now = files_of(&self.root);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let both = now.iter().chain(&*seen);
        let changed = both.filter(|(path, _)| now.get(*path) != seen.get(*path));
        let changed = changed.map(|(path, _)| path.clone()).collect();
        *seen = now;
        changed
    }
}

/// Files that cannot be read are as good as absent.
fn files_of(root: &Path) -> SourceFiles {
    let walk = WalkBuilder::new(root).require_git(false).build();
    let files = walk.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        let seen = (metadata.modified().ok(), metadata.len());
        metadata.is_file().then(|| (entry.into_path(), seen))
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A new folder, which is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("oneflight-sources-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn have_changed(sources: &Sources) -> bool {
        !sources.changes().is_empty()
    }

    #[test]
    fn changes_of_sources_are_seen_once_and_those_of_results_are_not() {
        let folder = Folder::new("results");
        let path = |name: &str| folder.0.join(name);
        fs::write(path(".gitignore"), "/client.wasm\n/target/\n").unwrap();
        fs::create_dir(path("target")).unwrap();
        fs::create_dir(path("src")).unwrap();
        fs::write(path("src/lib.rs"), "a").unwrap();
        let sources = Sources::of(&folder.0);
        assert!(!have_changed(&sources));
        for result in ["client.wasm", "target/lib.wasm", ".hidden"] {
            fs::write(path(result), "x").unwrap();
            assert!(!have_changed(&sources), "{result}");
        }
        fs::write(path("src/lib.rs"), "ab").unwrap();
        assert!(have_changed(&sources));
        assert!(!have_changed(&sources));
        fs::write(path("src/new.rs"), "").unwrap();
        assert!(have_changed(&sources));
        fs::remove_file(path("src/new.rs")).unwrap();
        assert!(have_changed(&sources));
        assert!(!have_changed(&sources));
    }

    #[test]
    fn a_file_that_is_gone_for_a_while() {
        let folder = Folder::new("file");
        let file = folder.0.join("client.wasm");
        fs::write(&file, "a").unwrap();
        let sources = Sources::of(&file);
        fs::remove_file(&file).unwrap();
        assert!(have_changed(&sources));
        fs::write(&file, "a").unwrap();
        assert!(have_changed(&sources));
    }
}
