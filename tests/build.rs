//! Builds every guest of the tests and tells `src/artifacts.rs` where it is.
//!
//! A guest that is not listed here fails the build, so that none lies about untested.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use guest_build::{Guest, Tool};

/// The guests that are component text, a file each.
const TEXTS: [&str; 6] = [
    "malformed-typed.wat",
    "needs-more.wat",
    "no-items.wat",
    "other-types.wat",
    "spins-at-start.wat",
    "too-large.wat",
];

fn main() -> ExitCode {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn build() -> Result<(), Box<dyn Error>> {
    let (by_component, built_with) = match guest_build::cargo_component_version() {
        Some(version) => (Tool::CargoComponent, format!("cargo component {version}")),
        None => (Tool::Cargo, "cargo".to_owned()),
    };
    println!("cargo::rustc-env=SECOND_CLIENT_BUILT_WITH={built_with}");

    let guests = Path::new("guests");
    let packages = [
        ("misbehaving", Tool::Cargo),
        ("naive", Tool::Cargo),
        ("orders", Tool::Cargo),
        ("readme-client", by_component),
        ("second-client", by_component),
        ("typed", Tool::Cargo),
    ];
    every_guest_is_listed(
        guests,
        packages.into_iter().map(|(name, _)| name).chain(TEXTS),
    )?;

    let wit = Path::new("../wit");
    for (name, tool) in packages {
        let dir = &guests.join(name);
        tell(name, &guest_build::build(&Guest { dir, wit, tool })?);
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for name in TEXTS {
        let path = out_dir.join(name).with_extension("wasm");
        fs::write(&path, wat::parse_file(guests.join(name))?)?;
        tell(name.trim_end_matches(".wat"), &path);
    }
    Ok(())
}

fn every_guest_is_listed<'a>(
    guests: &Path,
    listed: impl Iterator<Item = &'a str>,
) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", guests.display());
    let listed: BTreeSet<_> = listed.collect();
    for entry in fs::read_dir(guests)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !listed.contains(&*name) {
            return Err(format!(
                "tests/guests/{name} is not listed: add it to tests/build.rs, and a test of it"
            )
            .into());
        }
    }
    Ok(())
}

/// Names a guest's path to the crate as `<NAME>_COMPONENT`.
fn tell(name: &str, path: &Path) {
    let name = name.replace('-', "_").to_uppercase();
    println!("cargo::rustc-env={name}_COMPONENT={}", path.display());
}
