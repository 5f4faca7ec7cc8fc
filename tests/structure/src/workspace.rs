//! The crates of the repository, as `cargo metadata` lists them, and its text files: what is added is
//! checked without being named here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Manifests whose crates are read. Guests are left out: their generated bindings call what the guest
/// implements with those bindings, which is a cycle by design.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "tests/fuzz/Cargo.toml"];

/// The repository.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder of the workspace's manifest.
    pub root: PathBuf,
}

/// One crate: a library, a binary, a test, a benchmark, a build script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The package's name.
    pub package: String,
    /// The crate's root file, relative to the repository.
    pub file: PathBuf,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::here()
    }
}

impl Workspace {
    /// The repository that this package is part of.
    ///
    /// # Panics
    ///
    /// When the package is no longer two folders below the root.
    #[must_use]
    pub fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        Self {
            root: root.expect("tests/structure").to_owned(),
        }
    }

    /// The text of a file that is named relative to the root.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self, file: &Path) -> Result<String> {
        std::fs::read_to_string(self.root.join(file))
            .with_context(|| format!("could not read {}", file.display()))
    }

    /// Every crate, in the order of their root files.
    ///
    /// # Errors
    ///
    /// When `cargo metadata` fails.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for manifest in MANIFESTS {
            let metadata = self.metadata(manifest)?;
            for package in list(&metadata["packages"]) {
                for target in list(&package["targets"]) {
                    targets.push(Target {
                        package: text(&package["name"])?.to_owned(),
                        file: Path::new(text(&target["src_path"])?)
                            .strip_prefix(&self.root)
                            .context("expected a crate below the root")?
                            .to_owned(),
                    });
                }
            }
        }
        targets.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(targets)
    }

    /// The files below `folder` that end in one of `extensions`, in order, each with its text. Neither what
    /// Cargo builds nor hidden folders are entered.
    ///
    /// # Errors
    ///
    /// When a folder or a file cannot be read.
    pub fn files(&self, folder: &str, extensions: &[&str]) -> Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(self.root.join(&folder));
            for entry in entries.with_context(|| format!("could not list {}", folder.display()))? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let path = folder.join(&*name);
                if entry.file_type()?.is_dir() {
                    if name != "target" && !name.starts_with('.') {
                        folders.push(path);
                    }
                } else if path
                    .extension()
                    .is_some_and(|e| extensions.iter().any(|x| e == *x))
                {
                    let text = self.read(&path)?;
                    found.push((path, text));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn metadata(&self, manifest: &str) -> Result<Value> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .arg("--manifest-path")
            .arg(self.root.join(manifest))
            .output()
            .context("could not run cargo")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {stderr}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .context("expected a string in cargo's metadata")
}
