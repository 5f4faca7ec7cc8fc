//! Builds the built-in client and embeds it in the library, so that `cargo run` alone is enough.
//!
//! `ONEFLIGHT_BUILTIN=FILE` embeds an existing component instead; a relative path is relative to this package's folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=ONEFLIGHT_BUILTIN");
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
        let file = PathBuf::from(file);
        println!("cargo::rerun-if-changed={}", file.display());
        return file.canonicalize().map_err(|error| {
            format!(
                "expected ONEFLIGHT_BUILTIN to name an existing file, got {}: {error}",
                file.display()
            )
        });
    }
    let guest = guest_build::Guest {
        dir: Path::new("../guest-client"),
        wit: Path::new("../wit"),
        tool: guest_build::Tool::Cargo,
    };
    guest_build::build(&guest).map_err(|error| error.to_string())
}
