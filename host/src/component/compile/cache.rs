//! [`Cache`]: a folder of compiled code that no other user can write to.
//!
//! Its files are machine code that this process runs: a user who can change one can do everything that this process
//! can. See [`CacheFolder`].

mod key;

use std::io;
use std::path::Path;

use ring::digest::{SHA256, digest};

pub(super) use self::key::CacheKey;
pub use crate::cache_folder::CacheError;
use crate::cache_folder::CacheFolder;

/// Compiled code in files.
#[derive(Debug)]
pub struct Cache(CacheFolder);

/// The suffix of the names of entries.
const ENTRY_SUFFIX: &str = ".code";

/// An entry starts with this, then has its key, the SHA-256 of the code, and the code.
const MAGIC: [u8; 16] = *b"oneflight code 1";
const HEADER: usize = MAGIC.len() + 32 + 32;

impl Cache {
    /// Opens the folder at `path`, and creates it and its parents if it does not exist. Its entries may have
    /// `max_bytes` together; beyond that the least recently used ones are removed.
    ///
    /// # Errors
    ///
    /// [`CacheError`] says what is wrong with the folder and what to do. A folder that other users can write to is
    /// refused.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        CacheFolder::open(path, max_bytes, &[ENTRY_SUFFIX]).map(Self)
    }

    /// The path of the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The code under `key`, of at most `max_code_bytes`. Returns `None` for a damaged entry, and for anything but a
    /// regular file of this user.
    pub(super) fn get(&self, key: &CacheKey, max_code_bytes: usize) -> Option<Vec<u8>> {
        let max_bytes = max_code_bytes.checked_add(HEADER)?;
        let is_valid = |entry: &[u8]| {
            let parts = entry.split_at_checked(HEADER);
            parts.is_some_and(|(found, code)| found == header(key, code))
        };
        let mut entry = self.0.read(&file_name(key), max_bytes, is_valid)?;
        entry.drain(..HEADER);
        Some(entry)
    }

    /// Stores `code` under `key`, and removes entries that exceed the maximum size.
    pub(super) fn put(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        self.0.write(&file_name(key), &[&header(key, code), code])
    }
}

/// The name of the file of an entry.
fn file_name(key: &CacheKey) -> String {
    let hex = key.as_bytes().iter().map(|byte| format!("{byte:02x}"));
    hex.collect::<String>() + ENTRY_SUFFIX
}

fn header(key: &CacheKey, code: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    let (named, checksum) = rest.split_at_mut(32);
    magic.copy_from_slice(&MAGIC);
    named.copy_from_slice(key.as_bytes());
    checksum.copy_from_slice(digest(&SHA256, code).as_ref());
    header
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::cache_folder::test_folder::TestFolder;

    fn key(byte: u8) -> CacheKey {
        CacheKey::of_bytes(byte)
    }

    fn age(folder: &TestFolder, name: &str) -> Duration {
        let used = fs::metadata(folder.path().join(name)).unwrap().modified();
        SystemTime::now().duration_since(used.unwrap()).unwrap()
    }

    #[test]
    fn code_is_found_under_its_own_key_and_within_its_limit() {
        let folder = TestFolder::new();
        let cache = Cache::open(folder.path(), 1_000).unwrap();
        cache.put(&key(1), b"code").unwrap();
        assert_eq!(cache.get(&key(1), 4).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&key(1), 3), None);
        assert_eq!(cache.get(&key(2), 4), None);
        fs::rename(
            folder.path().join(file_name(&key(1))),
            folder.path().join(file_name(&key(2))),
        )
        .unwrap();
        assert_eq!(cache.get(&key(2), 4), None);
        let mode = fs::metadata(folder.path().join(file_name(&key(2))))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn the_least_recently_used_entry_makes_room() {
        let folder = TestFolder::new();
        let entry = (HEADER + 4) as u64;
        let cache = Cache::open(folder.path(), 3 * entry).unwrap();
        for number in 1..=3 {
            cache.put(&key(number), b"code").unwrap();
            folder.set_used(&file_name(&key(number)), number.into());
        }
        // Used last, although it is the oldest.
        assert!(cache.get(&key(1), 4).is_some());
        assert!(age(&folder, &file_name(&key(1))) < Duration::from_secs(3_600));
        cache.put(&key(4), b"code").unwrap();
        assert_eq!(
            folder.names(),
            [file_name(&key(1)), file_name(&key(3)), file_name(&key(4))]
        );
        // Code that is larger than the cache is not stored.
        cache.put(&key(5), &[0; 1_000]).unwrap();
        assert_eq!(folder.names().len(), 3);
    }
}
