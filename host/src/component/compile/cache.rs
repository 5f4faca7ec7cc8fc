//! [`Cache`]: a folder of compiled code, which nobody else can write to.
//!
//! A file of it is machine code that this process will run, so whoever could change one could do what
//! this process can. Hence the folder is opened once, judged by what was opened, and every file is
//! reached through it: a path that changes its meaning later changes nothing here.
//!
//! Processes share a folder without knowing of each other: an entry appears whole or not at all, and
//! those that write the same one at once write the same code.

use std::ffi::CStr;
use std::fmt;
use std::fs::{DirBuilder, File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ring::digest::{Context, SHA256, digest};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::process::geteuid;
use wasmtime::Engine as Wasmtime;

use crate::settings::CompileLimits;

/// Compiled code, in files.
#[derive(Debug)]
pub struct Cache {
    folder: File,
    path: PathBuf,
    /// All entries together, in bytes.
    most: u64,
}

/// Why a folder is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// It is a symbolic link, or no folder.
    NotAFolder(PathBuf),
    /// It belongs to somebody else.
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is, by number.
        owner: u32,
        /// Who this process is.
        wanted: u32,
    },
    /// Others than its owner may write to it.
    Writable {
        /// The folder.
        path: PathBuf,
        /// What its permissions are.
        mode: u32,
    },
    /// It could not be made or opened.
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// What an entry is found by: all that code depends on, in one digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// Of the component, wasmtime's version and settings, and ours.
    pub(super) fn new(binary: &[u8], wasmtime: &Wasmtime, limits: &CompileLimits) -> Self {
        let mut hasher = Sha256(Context::new(&SHA256));
        hasher.write(digest(&SHA256, binary).as_ref());
        wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        // What others let through is judged anew.
        limits.hash(&mut hasher);
        Self(whole(hasher.0.finish()))
    }

    /// The name of its entry's file.
    fn name(&self) -> String {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        hex + ENTRY
    }
}

/// A hasher of which all 256 bits are taken: two components whose keys met would run each other's code.
struct Sha256(Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = whole(self.0.clone().finish());
        digest
            .iter()
            .take(8)
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

fn whole(digest: ring::digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// How the names of entries end, and those of files that are still being written.
const ENTRY: &str = ".code";
const UNFINISHED: &str = ".part";

/// What is still being written after this long is a leftover of a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// An entry is this, its key, the SHA-256 of the code, and the code.
const MAGIC: [u8; 16] = *b"oneflight code 1";
const HEADER: usize = MAGIC.len() + 32 + 32;

impl Cache {
    /// Opens the folder at `path`, which is made, with its parents, where there is none. What is in it
    /// may come to `most` bytes; past that the entries go that were not used for the longest.
    ///
    /// # Errors
    ///
    /// [`CacheError`] says what is wrong with the folder and how to mend it. A folder that others can
    /// write to is one.
    pub fn open(path: &Path, most: u64) -> Result<Self, CacheError> {
        // Without a slash at its end, which would lead through a symbolic link.
        let path: PathBuf = path.components().collect();
        let unusable = |reason: &dyn fmt::Display| CacheError::Unusable {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&path, folder, Mode::empty()) {
            Ok(folder) => File::from(folder),
            // What is there was not opened, or nothing is there as it could not be made.
            Err(_) if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) => {
                return Err(CacheError::NotAFolder(path));
            }
            Err(error) => {
                return Err(made.map_or_else(|made| unusable(&made), |()| unusable(&error)));
            }
        };
        let metadata = folder.metadata().map_err(|error| unusable(&error))?;
        let wanted = geteuid().as_raw();
        if metadata.uid() != wanted {
            let owner = metadata.uid();
            return Err(CacheError::Foreign {
                path,
                owner,
                wanted,
            });
        }
        if !is_private(&metadata) {
            let mode = metadata.mode() & 0o7777;
            return Err(CacheError::Writable { path, mode });
        }
        Ok(Self { folder, path, most })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// The code under `key`, of `most` bytes or less. An entry that is damaged, or anything but a plain
    /// file of ours, counts as none.
    pub(super) fn get(&self, key: &CacheKey, most: usize) -> Option<Vec<u8>> {
        // Non-blocking, as opening a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, key.name(), flags, Mode::empty()).ok()?;
        let file = File::from(file);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || !is_private(&metadata) {
            return None;
        }
        let most = most.checked_add(HEADER)?;
        let length = usize::try_from(metadata.len()).ok();
        let length = length.filter(|length| (HEADER..=most).contains(length))?;
        let mut entry = Vec::with_capacity(length);
        (&file).take(most as u64).read_to_end(&mut entry).ok()?;
        let (header, code) = entry.split_at_checked(HEADER)?;
        if header != self::header(key, code) {
            return None;
        }
        // The time of an entry is that of its last use.
        let _ = file.set_modified(SystemTime::now());
        entry.drain(..HEADER);
        Some(entry)
    }

    /// Keeps `code` under `key`, and drops what there is no more room for.
    pub(super) fn put(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        if (HEADER + code.len()) as u64 > self.most {
            return Ok(());
        }
        let unfinished = Unfinished::new(&self.folder)?;
        let mut file = &unfinished.file;
        file.write_all(&header(key, code))?;
        file.write_all(code)?;
        unfinished.rename(&key.name())?;
        self.make_room()
    }

    /// Removes leftovers, and the entries that were not used for the longest, until the rest fits.
    /// Touches nothing that is not named as its own files are.
    fn make_room(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for found in Dir::read_from(&self.folder)? {
            let found = found?;
            let name = found.file_name();
            let Ok(metadata) = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
            else {
                // Another process has removed it.
                continue;
            };
            let used = Duration::from_secs(u64::try_from(metadata.st_mtime).unwrap_or(0));
            let used = SystemTime::UNIX_EPOCH + used + nanoseconds(metadata.st_mtime_nsec);
            let age = now.duration_since(used).unwrap_or_default();
            if ends_with(name, UNFINISHED) && age > ABANDONED {
                self.remove(name);
            } else if ends_with(name, ENTRY) {
                let size = u64::try_from(metadata.st_size).unwrap_or(0);
                bytes += size;
                entries.push((used, name.to_owned(), size));
            }
        }
        entries.sort();
        for (_, name, size) in entries {
            if bytes <= self.most {
                break;
            }
            self.remove(&name);
            bytes -= size;
        }
        Ok(())
    }

    /// Fails where another process was faster, which is as well.
    fn remove(&self, name: &CStr) {
        let _ = unlinkat(&self.folder, name, AtFlags::empty());
    }
}

/// Whether it is ours, and nobody else may write to it.
fn is_private(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

fn header(key: &CacheKey, code: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    let (named, checksum) = rest.split_at_mut(32);
    magic.copy_from_slice(&MAGIC);
    named.copy_from_slice(&key.0);
    checksum.copy_from_slice(digest(&SHA256, code).as_ref());
    header
}

fn nanoseconds(number: impl TryInto<u64>) -> Duration {
    Duration::from_nanos(number.try_into().unwrap_or(0))
}

fn ends_with(name: &CStr, end: &str) -> bool {
    name.to_bytes().ends_with(end.as_bytes())
}

/// A file that is being written; it is removed with this value, unless it got its name.
struct Unfinished<'a> {
    folder: &'a File,
    name: String,
    file: File,
}

impl<'a> Unfinished<'a> {
    fn new(folder: &'a File) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Processes in different containers may have one number and one folder.
        let nanoseconds = started.unwrap_or_default().as_nanos();
        let name = format!("{}-{number}-{nanoseconds:x}{UNFINISHED}", process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(folder, &name, flags, Mode::RUSR | Mode::WUSR)?.into();
        Ok(Self { folder, name, file })
    }

    fn rename(mut self, name: &str) -> io::Result<()> {
        renameat(self.folder, &self.name, self.folder, name)?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = unlinkat(self.folder, &self.name, AtFlags::empty());
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NEEDED: &str = "needed a folder of your own that nobody else can write to, as compiled \
            code is kept there and run";
        match self {
            Self::NotAFolder(path) => {
                let path = path.display();
                write!(
                    f,
                    "found {path} to be a symbolic link or no folder; {NEEDED}: remove it, or name the \
                     folder itself"
                )
            }
            Self::Foreign {
                path,
                owner,
                wanted,
            } => {
                let path = path.display();
                write!(
                    f,
                    "found {path} to belong to user {owner}, and you are user {wanted}; {NEEDED}: name \
                     another one"
                )
            }
            Self::Writable { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "found {path} with permissions {mode:04o}, which let others write to it; {NEEDED}: \
                     empty it, then chmod 700 {path}"
                )
            }
            Self::Unusable { path, reason } => {
                let path = path.display();
                write!(
                    f,
                    "found no use of {path}: {reason}; {NEEDED}: name another one"
                )
            }
        }
    }
}

impl std::error::Error for CacheError {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder that is removed with its value.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("oneflight-cache-{}-{number}", process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<_> = entries
                .map(|entry| name(entry).into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        fn set_mode(&self, mode: u32) {
            fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn open(&self, most: u64) -> Result<Cache, CacheError> {
            Cache::open(&self.0, most)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key(byte: u8) -> CacheKey {
        CacheKey([byte; 32])
    }

    /// Sets the time of an entry's last use, in seconds after some time.
    fn set_used(folder: &Folder, name: &str, seconds: u64) {
        let file = File::options().write(true).open(folder.0.join(name));
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        file.unwrap().set_modified(used).unwrap();
    }

    fn age(folder: &Folder, name: &str) -> Duration {
        let used = fs::metadata(folder.0.join(name)).unwrap().modified();
        SystemTime::now().duration_since(used.unwrap()).unwrap()
    }

    #[test]
    fn a_folder_is_made_with_its_parents_for_nobody_else() {
        let folder = Folder::new();
        let path = folder.0.join("a/b");
        Cache::open(&path, 1).unwrap();
        for made in [&folder.0.join("a"), &path] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn a_folder_that_its_group_or_all_can_write_to_is_refused() {
        let folder = Folder::new();
        let path = folder.0.clone();
        for mode in [0o720, 0o702, 0o777, 0o1777] {
            folder.set_mode(mode);
            let path = path.clone();
            assert_eq!(
                folder.open(1).unwrap_err(),
                CacheError::Writable { path, mode }
            );
        }
        for mode in [0o700, 0o755] {
            folder.set_mode(mode);
            assert!(folder.open(1).is_ok());
        }
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let folder = Folder::new();
        let wanted = geteuid().as_raw();
        // Only root can give a folder away; everybody else finds one of root's.
        let (path, owner) = if wanted == 0 {
            std::os::unix::fs::chown(&folder.0, Some(1), None).unwrap();
            (folder.0.clone(), 1)
        } else {
            (PathBuf::from("/"), 0)
        };
        assert_eq!(
            Cache::open(&path, 1).unwrap_err(),
            CacheError::Foreign {
                path,
                owner,
                wanted
            }
        );
    }

    #[test]
    fn a_symbolic_link_is_refused_with_a_slash_at_its_end_too_and_so_is_a_file() {
        let folder = Folder::new();
        let (real, link, file) = (
            folder.0.join("real"),
            folder.0.join("link"),
            folder.0.join("file"),
        );
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        fs::write(&file, "").unwrap();
        let dangling = folder.0.join("dangling");
        symlink(folder.0.join("nothing"), &dangling).unwrap();
        for path in [&link, &file, &dangling] {
            let refused = Err(CacheError::NotAFolder(path.clone()));
            assert_eq!(Cache::open(path, 1).map(|_| ()), refused);
            let slash = PathBuf::from(format!("{}/", path.display()));
            assert_eq!(Cache::open(&slash, 1).map(|_| ()), refused);
        }
        assert!(!folder.0.join("nothing").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_of_no_use() {
        let path = PathBuf::from("/dev/null/oneflight");
        assert!(matches!(
            Cache::open(&path, 1),
            Err(CacheError::Unusable { .. })
        ));
    }

    #[test]
    fn code_is_found_under_its_own_key_and_by_no_larger_bound() {
        let folder = Folder::new();
        let cache = folder.open(1_000).unwrap();
        cache.put(&key(1), b"code").unwrap();
        assert_eq!(cache.get(&key(1), 4).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&key(1), 3), None);
        assert_eq!(cache.get(&key(2), 4), None);
        fs::rename(folder.0.join(key(1).name()), folder.0.join(key(2).name())).unwrap();
        assert_eq!(cache.get(&key(2), 4), None);
        let mode = fs::metadata(folder.0.join(key(2).name())).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn the_key_is_of_the_component_the_settings_of_wasmtime_and_the_limits() {
        let engine = |epochs| {
            let mut config = wasmtime::Config::new();
            config.epoch_interruption(epochs);
            Wasmtime::new(&config).unwrap()
        };
        let limits = CompileLimits::default();
        let others = CompileLimits {
            max_functions: 1,
            ..limits.clone()
        };
        let key = CacheKey::new(b"a", &engine(true), &limits);
        assert_eq!(key, CacheKey::new(b"a", &engine(true), &limits));
        assert_ne!(key, CacheKey::new(b"b", &engine(true), &limits));
        assert_ne!(key, CacheKey::new(b"a", &engine(false), &limits));
        assert_ne!(key, CacheKey::new(b"a", &engine(true), &others));
    }

    #[test]
    fn what_was_not_used_for_the_longest_makes_room() {
        let folder = Folder::new();
        let entry = (HEADER + 4) as u64;
        let cache = folder.open(3 * entry).unwrap();
        for number in 1..=3 {
            cache.put(&key(number), b"code").unwrap();
            set_used(&folder, &key(number).name(), number.into());
        }
        // Used last, although it is the oldest.
        assert!(cache.get(&key(1), 4).is_some());
        assert!(age(&folder, &key(1).name()) < ABANDONED);
        cache.put(&key(4), b"code").unwrap();
        assert_eq!(
            folder.names(),
            [key(1).name(), key(3).name(), key(4).name()]
        );
        // What is larger than all of it is not kept.
        cache.put(&key(5), &[0; 1_000]).unwrap();
        assert_eq!(folder.names().len(), 3);
    }

    #[test]
    fn leftovers_are_removed_and_what_is_not_the_caches_own_is_left_alone() {
        let folder = Folder::new();
        let cache = folder.open(1_000).unwrap();
        for name in ["1-0-0.part", "2-0-0.part", "notes.txt"] {
            fs::write(folder.0.join(name), [0; 2_000]).unwrap();
        }
        set_used(&folder, "1-0-0.part", 0);
        set_used(&folder, "notes.txt", 0);
        cache.put(&key(1), b"code").unwrap();
        assert_eq!(
            folder.names(),
            [key(1).name(), "2-0-0.part".into(), "notes.txt".into()]
        );
    }

    #[test]
    fn an_entry_that_is_not_finished_is_removed() {
        let folder = Folder::new();
        let cache = folder.open(1_000).unwrap();
        drop(Unfinished::new(&cache.folder).unwrap());
        assert_eq!(folder.names(), Vec::<String>::new());
    }
}
