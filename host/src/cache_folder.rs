//! [`CacheFolder`]: a folder of files that can be made again, to which no other user can write.
//!
//! The folder is opened once, without following a symbolic link, the opened folder is checked, and every file is
//! reached through it. A path that leads elsewhere later has no effect.
//!
//! Processes share a folder without coordination: a file appears complete or not at all, and processes that write the
//! same file concurrently write the same contents.
//!
//! `cap-std` does the work in the folder. Partial files are our own and not `cap-tempfile`'s: it creates a file with
//! the permissions of the umask instead of 0600, and a crash can leave one that `make_room` would not recognise.

mod error;

#[cfg(test)]
pub(crate) mod test_folder;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

pub use self::error::CacheError;

/// A folder of files that can be made again.
#[derive(Debug)]
pub(crate) struct CacheFolder {
    folder: Dir,
    path: PathBuf,
    /// The maximum size of all entries together.
    max_bytes: u64,
    /// The suffixes of the names of entries. Files with other names are not touched.
    suffixes: &'static [&'static str],
}

/// The suffix of the names of files that are being written.
const PARTIAL_SUFFIX: &str = ".part";

/// The age at which a partial file is removed: 1 h. Its process was killed.
const MAX_PARTIAL_AGE: Duration = Duration::from_secs(3_600);

impl CacheFolder {
    /// Opens the folder at `path`, and creates it and its parents if it does not exist. Its entries, whose names end
    /// with one of `suffixes`, may have `max_bytes` together; beyond that the least recently used ones are removed.
    ///
    /// # Errors
    ///
    /// [`CacheError`] says what is wrong with the folder and what to do. A folder that other users can write to is
    /// refused.
    pub(crate) fn open(
        path: &Path,
        max_bytes: u64,
        suffixes: &'static [&'static str],
    ) -> Result<Self, CacheError> {
        // Without a trailing slash, which would follow a symbolic link.
        let path: PathBuf = path.components().collect();
        let unusable = |reason: &dyn fmt::Display| CacheError::Unusable {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let created = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(folder) => fs::File::from(folder),
            // The path exists and was not opened, or does not exist because it could not be created.
            Err(_) if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) => {
                return Err(CacheError::NotAFolder(path));
            }
            Err(error) => {
                return Err(created.map_or_else(|create| unusable(&create), |()| unusable(&error)));
            }
        };
        let metadata = folder.metadata().map_err(|error| unusable(&error))?;
        let (owner, expected) = (metadata.uid(), geteuid().as_raw());
        if owner != expected {
            return Err(CacheError::Foreign {
                path,
                owner,
                expected,
            });
        }
        if !is_private(&metadata) {
            let mode = metadata.mode() & 0o7777;
            return Err(CacheError::Writable { path, mode });
        }
        Ok(Self {
            folder: Dir::from_std_file(folder),
            path,
            max_bytes,
            suffixes,
        })
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file `name`, of at most `max_bytes`, if `is_valid` says so. `None` for anything but a
    /// regular file of this user.
    pub(crate) fn read(
        &self,
        name: &str,
        max_bytes: usize,
        is_valid: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let mut options = OpenOptions::new();
        // Non-blocking, as opening a pipe would wait for its other end.
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let file = self.folder.open_with(name, &options).ok()?;
        let file = file.into_std();
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || !is_private(&metadata) {
            return None;
        }
        let length = usize::try_from(metadata.len()).ok();
        let length = length.filter(|length| *length <= max_bytes)?;
        let mut contents = Vec::with_capacity(length);
        (&file)
            .take(max_bytes as u64)
            .read_to_end(&mut contents)
            .ok()?;
        if !is_valid(&contents) {
            return None;
        }
        // The modification time of an entry is that of its last use.
        let _ = file.set_modified(SystemTime::now());
        Some(contents)
    }

    /// Writes `parts` into the file `name`, and removes entries that exceed the maximum size. What is larger than that
    /// is not stored.
    pub(crate) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes as u64 > self.max_bytes {
            return Ok(());
        }
        let mut partial = PartialFile::new(&self.folder)?;
        for part in parts {
            partial.file.write_all(part)?;
        }
        partial.rename(name)?;
        self.make_room()
    }

    /// Removes abandoned partial files, and the least recently used entries until the rest fits. Files with other
    /// names are not touched.
    fn make_room(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for file in self.folder.entries()? {
            let file = file?;
            let name = file.file_name();
            // Of a symbolic link itself. Fails if another process has removed the file.
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let used = metadata.modified()?.into_std();
            let age = now.duration_since(used).unwrap_or_default();
            if ends_with(&name, PARTIAL_SUFFIX) && age > MAX_PARTIAL_AGE {
                self.remove(&name);
            } else if self.suffixes.iter().any(|suffix| ends_with(&name, suffix)) {
                bytes += metadata.len();
                entries.push((used, name, metadata.len()));
            }
        }
        entries.sort();
        for (_, name, size) in entries {
            if bytes <= self.max_bytes {
                break;
            }
            self.remove(&name);
            bytes -= size;
        }
        Ok(())
    }

    /// Removes a file. An error is ignored: another process may have removed it.
    fn remove(&self, name: &OsStr) {
        let _ = self.folder.remove_file(name);
    }
}

/// Whether the owner is this user, and no other user may write.
fn is_private(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

fn ends_with(name: &OsStr, suffix: &str) -> bool {
    name.as_encoded_bytes().ends_with(suffix.as_bytes())
}

/// A file that is being written. Dropping it removes the file, unless it was renamed.
struct PartialFile<'a> {
    folder: &'a Dir,
    name: String,
    file: File,
}

impl<'a> PartialFile<'a> {
    fn new(folder: &'a Dir) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Processes in different containers may have the same id and share a folder.
        let nanoseconds = started.unwrap_or_default().as_nanos();
        let id = process::id();
        let name = format!("{id}-{number}-{nanoseconds:x}{PARTIAL_SUFFIX}");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = folder.open_with(&name, &options)?;
        Ok(Self { folder, name, file })
    }

    fn rename(mut self, name: &str) -> io::Result<()> {
        self.folder.rename(&self.name, self.folder, name)?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for PartialFile<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = self.folder.remove_file(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::test_folder::TestFolder;
    use super::*;

    fn set_mode(folder: &TestFolder, mode: u32) {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(folder: &TestFolder, max_bytes: u64) -> Result<CacheFolder, CacheError> {
        CacheFolder::open(folder.path(), max_bytes, &[".code"])
    }

    #[test]
    fn a_folder_is_created_with_its_parents_for_this_user_only() {
        let folder = TestFolder::new();
        let path = folder.path().join("a/b");
        CacheFolder::open(&path, 1, &[]).unwrap();
        for created in [&folder.path().join("a"), &path] {
            assert_eq!(fs::metadata(created).unwrap().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn a_folder_that_its_group_or_all_can_write_to_is_refused() {
        let folder = TestFolder::new();
        let path = folder.path().to_owned();
        for mode in [0o720, 0o702, 0o777, 0o1777] {
            set_mode(&folder, mode);
            let path = path.clone();
            assert_eq!(
                open(&folder, 1).unwrap_err(),
                CacheError::Writable { path, mode }
            );
        }
        for mode in [0o700, 0o755] {
            set_mode(&folder, mode);
            assert!(open(&folder, 1).is_ok());
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = TestFolder::new();
        let expected = geteuid().as_raw();
        // Only root can change an owner; other users take a folder of root's.
        let (path, owner) = if expected == 0 {
            std::os::unix::fs::chown(folder.path(), Some(1), None).unwrap();
            (folder.path().to_owned(), 1)
        } else {
            (PathBuf::from("/"), 0)
        };
        assert_eq!(
            CacheFolder::open(&path, 1, &[]).unwrap_err(),
            CacheError::Foreign {
                path,
                owner,
                expected
            }
        );
    }

    #[test]
    fn a_symbolic_link_is_refused_with_a_slash_at_its_end_too_and_so_is_a_file() {
        let folder = TestFolder::new();
        let (real, link, file) = (
            folder.path().join("real"),
            folder.path().join("link"),
            folder.path().join("file"),
        );
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        fs::write(&file, "").unwrap();
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nothing"), &dangling).unwrap();
        for path in [&link, &file, &dangling] {
            let refused = Err(CacheError::NotAFolder(path.clone()));
            assert_eq!(CacheFolder::open(path, 1, &[]).map(|_| ()), refused);
            let slash = PathBuf::from(format!("{}/", path.display()));
            assert_eq!(CacheFolder::open(&slash, 1, &[]).map(|_| ()), refused);
        }
        assert!(!folder.path().join("nothing").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_unusable() {
        let path = PathBuf::from("/dev/null/oneflight");
        assert!(matches!(
            CacheFolder::open(&path, 1, &[]),
            Err(CacheError::Unusable { .. })
        ));
    }

    #[test]
    fn abandoned_partial_files_are_removed_and_other_files_are_not() {
        let folder = TestFolder::new();
        let cache = open(&folder, 1_000).unwrap();
        for name in ["1-0-0.part", "2-0-0.part", "notes.txt"] {
            fs::write(folder.path().join(name), [0; 2_000]).unwrap();
        }
        folder.set_used("1-0-0.part", 0);
        folder.set_used("notes.txt", 0);
        cache.write("1.code", &[b"code"]).unwrap();
        assert_eq!(folder.names(), ["1.code", "2-0-0.part", "notes.txt"]);
    }

    #[test]
    fn a_partial_file_is_removed_when_it_is_dropped() {
        let folder = TestFolder::new();
        let cache = open(&folder, 1_000).unwrap();
        drop(PartialFile::new(&cache.folder).unwrap());
        assert_eq!(folder.names(), Vec::<String>::new());
    }
}
