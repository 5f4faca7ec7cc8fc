//! [`NewFolder`]: a folder that is being filled.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A folder that did not exist before.
pub(super) struct NewFolder(PathBuf);

impl NewFolder {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        match fs::create_dir(path) {
            Ok(()) => Ok(Self(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "expected a name that is not in this folder yet, got {}; choose another one or remove it",
                path.display()
            ),
            Err(error) => Err(error).with_context(|| format!("could not make {}", path.display())),
        }
    }

    /// Writes a file, and makes the folders above it.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes).with_context(|| format!("could not write {}", path.display()))
    }

    /// Writes a file that can be run.
    pub(super) fn script(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.file(name, bytes)?;
        fs::set_permissions(self.0.join(name), Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Removes all of it. What cannot be removed stays.
    pub(super) fn remove(self) {
        let _ = fs::remove_dir_all(self.0);
    }
}
