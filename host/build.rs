//! Embeds the built-in client in the library, so that `cargo run` alone is enough, and the commit in the version.
//!
//! In a clone the built-in client is built from `guest-client`. A package has it as `builtin.wasm`, so that installing one
//! needs no toolchain for Wasm. `ONEFLIGHT_BUILTIN=FILE` embeds an existing component instead; a relative path is relative
//! to this package's folder.
//!
//! The commit is that of the clone or of the package. `ONEFLIGHT_COMMIT` sets it where there is neither, as in the build
//! of a container.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// The sources of the built-in client. Only a clone has them.
const GUEST: &str = "../guest-client";

/// The built-in client in a package.
const PACKAGED: &str = "builtin.wasm";

/// Where `cargo package` records the commit.
const PACKAGED_COMMIT: &str = ".cargo_vcs_info.json";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ONEFLIGHT_BUILTIN");
    println!("cargo::rerun-if-env-changed=ONEFLIGHT_COMMIT");
    println!("cargo::rustc-env=ONEFLIGHT_VERSION={}", version());
    match builtin() {
        Ok(path) => {
            println!(
                "cargo::rustc-env=ONEFLIGHT_BUILTIN_COMPONENT={}",
                path.display()
            );
            ExitCode::SUCCESS
        }
        // Cargo shows the output of the guest's compiler only if the script fails.
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn builtin() -> Result<PathBuf, String> {
    if let Some(file) = env::var_os("ONEFLIGHT_BUILTIN") {
        return existing(Path::new(&file), "expected ONEFLIGHT_BUILTIN to name it");
    }
    let dir = Path::new(GUEST);
    if !dir.is_dir() {
        let hint = "make packages with packaging/build, which adds it";
        return existing(Path::new(PACKAGED), hint);
    }
    let guest = guest_build::Guest {
        dir,
        wit: Path::new("../wit"),
        tool: guest_build::Tool::Cargo,
    };
    guest_build::build(&guest).map_err(|error| error.to_string())
}

/// The absolute path of a component that is there already.
fn existing(file: &Path, hint: &str) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-changed={}", file.display());
    file.canonicalize()
        .map_err(|error| format!("the built-in client {}: {error}; {hint}", file.display()))
}

/// The version, with the commit if it is known: `0.1.0 (2fc97e8 2026-11-27)`.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = env::var("ONEFLIGHT_COMMIT")
        .ok()
        .or_else(packaged_commit)
        .or_else(cloned_commit);
    match commit.as_deref().map(str::trim) {
        None | Some("") => version.to_owned(),
        Some(commit) => format!("{version} ({commit})"),
    }
}

/// The commit from which `cargo package` made this package, without its date, which is not recorded.
fn packaged_commit() -> Option<String> {
    let info = fs::read_to_string(PACKAGED_COMMIT).ok()?;
    let (_, hash) = info.split_once("\"sha1\"")?;
    let hash = hash.split('"').nth(1)?;
    hash.get(..7).map(str::to_owned)
}

/// The commit that is checked out, with its date. Nothing if this folder is not part of a clone of the repository: a
/// package may be unpacked within another one.
fn cloned_commit() -> Option<String> {
    if !Path::new(GUEST).is_dir() {
        return None;
    }
    let commit = git(&["log", "-1", "--abbrev=7", "--format=%h %cs"])?;
    // Each commit, checkout and reset adds a line to the log of HEAD, and nothing else does. It is not there if the log is
    // switched off.
    let watched = ["logs/HEAD", "HEAD"]
        .iter()
        .filter_map(|name| git(&["rev-parse", "--git-path", name]))
        .find(|path| Path::new(path).exists());
    if let Some(path) = watched {
        println!("cargo::rerun-if-changed={path}");
    }
    Some(commit)
}

/// The output of git, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim_end().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
