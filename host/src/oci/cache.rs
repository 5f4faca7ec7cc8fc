//! [`ArtifactCache`]: what was pulled before, so that a service starts without its registry.
//!
//! Manifests and components are stored under their digests, which are checked whenever they are read. A tag is stored
//! with the digest that it stood for last. The folder is one to which no other user can write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::manifest::MAX_MANIFEST_BYTES;
use super::reference::{Reference, Sha256Digest};
use crate::cache_folder::CacheFolder;

/// A folder of manifests, components and tags.
#[derive(Debug)]
pub struct ArtifactCache {
    path: PathBuf,
    max_bytes: u64,
    /// Opened when it is first used; `None` if it cannot be.
    folder: OnceLock<Option<CacheFolder>>,
}

const MANIFEST: &str = ".manifest";
const COMPONENT: &str = ".wasm";
const TAG: &str = ".tag";

/// The length of a digest as text.
const DIGEST_BYTES: usize = 7 + 64;

impl ArtifactCache {
    /// The folder at `path`, which is created when something is pulled. Its files may have `max_bytes` together; beyond
    /// that the least recently used ones are removed. If other users can write to it, or it cannot be used, that is
    /// logged, and nothing is kept.
    #[must_use]
    pub fn at(path: &Path, max_bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            max_bytes,
            folder: OnceLock::new(),
        }
    }

    fn folder(&self) -> Option<&CacheFolder> {
        let open = || {
            let suffixes = &[MANIFEST, COMPONENT, TAG];
            CacheFolder::open(&self.path, self.max_bytes, suffixes)
                .inspect_err(|error| tracing::warn!("what is pulled is not kept: {error}"))
                .ok()
        };
        self.folder.get_or_init(open).as_ref()
    }

    pub(super) fn manifest(&self, digest: &Sha256Digest) -> Option<Vec<u8>> {
        self.read(digest, MANIFEST, MAX_MANIFEST_BYTES)
    }

    pub(super) fn component(&self, digest: &Sha256Digest, max_bytes: u64) -> Option<Vec<u8>> {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        self.read(digest, COMPONENT, max_bytes)
    }

    fn read(&self, digest: &Sha256Digest, suffix: &str, max_bytes: usize) -> Option<Vec<u8>> {
        let name = digest.hex() + suffix;
        self.folder()?
            .read(&name, max_bytes, |bytes| Sha256Digest::of(bytes) == *digest)
    }

    /// The digest that a reference by tag stood for last.
    pub(super) fn tagged(&self, reference: &Reference) -> Option<Sha256Digest> {
        let text = self
            .folder()?
            .read(&tag_file(reference), DIGEST_BYTES, |_| true)?;
        String::from_utf8(text).ok()?.parse().ok()
    }

    pub(super) fn put_manifest(&self, digest: &Sha256Digest, bytes: &[u8]) {
        self.put(&(digest.hex() + MANIFEST), bytes);
    }

    pub(super) fn put_component(&self, digest: &Sha256Digest, bytes: &[u8]) {
        self.put(&(digest.hex() + COMPONENT), bytes);
    }

    pub(super) fn put_tag(&self, reference: &Reference, digest: &Sha256Digest) {
        self.put(&tag_file(reference), digest.to_string().as_bytes());
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let Some(folder) = self.folder() else {
            return;
        };
        let written: io::Result<()> = folder.write(name, &[bytes]);
        // Without it the next start needs the registry, so this is no reason to fail.
        if let Err(error) = written {
            let folder = folder.path().display();
            tracing::warn!(%error, "could not keep what was pulled in {folder}");
        }
    }
}

/// A reference is longer than a file name may be, so its digest names the file.
fn tag_file(reference: &Reference) -> String {
    Sha256Digest::of(reference.to_string().as_bytes()).hex() + TAG
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_folder::test_folder::TestFolder;

    #[test]
    fn what_is_damaged_in_the_cache_is_not_there() {
        let folder = TestFolder::new();
        let cache = ArtifactCache::at(folder.path(), 1_000);
        let digest = Sha256Digest::of(b"wasm");
        assert_eq!(cache.component(&digest, 4), None);
        cache.put_component(&digest, b"wasm");
        assert_eq!(cache.component(&digest, 4).as_deref(), Some(&b"wasm"[..]));
        assert_eq!(cache.component(&digest, 3), None);
        assert_eq!(cache.manifest(&digest), None);
        std::fs::write(folder.path().join(digest.hex() + COMPONENT), "wasM").unwrap();
        assert_eq!(cache.component(&digest, 4), None);
        let tag: Reference = "oci://a.example/b:1".parse().unwrap();
        let other: Reference = "oci://a.example/b:2".parse().unwrap();
        cache.put_tag(&tag, &digest);
        assert_eq!(cache.tagged(&tag), Some(digest));
        assert_eq!(cache.tagged(&other), None);
    }
}
