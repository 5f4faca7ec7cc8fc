//! Builds the real binary: for the tests of this package, and for the benchmark and the load test, which
//! include this file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The binary, built by the cargo that runs this program, in the same profile and target folder:
/// cargo itself builds only the binaries of the package that it runs.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().expect("the path of this program");
    let folder = this.parent().expect("target/PROFILE[/deps]");
    let folder = match folder.file_name() {
        Some(deps) if deps == "deps" => folder.parent().expect("target/PROFILE"),
        _ => folder,
    };
    let target = folder.parent().expect("target");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    // From the workspace, where cargo builds with the features of all default members, as for tests.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut root = root.filter(|folder| folder.join("Cargo.lock").exists());
    let root = root.next().expect("the workspace that this is part of");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // Cargo sets variables that name the package of the program that it runs. Build scripts rerun when these
    // differ, so with them this build would invalidate the build of this program.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let built = cargo
        .args([
            "build",
            "--quiet",
            "--bin",
            "oneflight",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .env_remove("OUT_DIR")
        .current_dir(root)
        .status()
        .expect("cargo");
    assert!(built.success(), "cargo did not build the binary");
    folder.join("oneflight")
});

/// The binary's file.
///
/// # Panics
///
/// When cargo fails to build it.
#[must_use]
pub fn binary() -> &'static Path {
    &BINARY
}
