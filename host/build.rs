//! Builds the built-in client into the library, so that `cargo run` alone is enough.
//!
//! `ONEFLIGHT_BUILTIN=FILE` embeds a component that is ready instead.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=ONEFLIGHT_BUILTIN");
    match builtin() {
        Ok(path) => {
            println!(
                "cargo::rustc-env=ONEFLIGHT_BUILTIN_COMPONENT={}",
                path.display()
            );
        }
        Err(error) => println!("cargo::error={error}"),
    }
}

fn builtin() -> Result<PathBuf, String> {
    if let Some(file) = env::var_os("ONEFLIGHT_BUILTIN") {
        let file = PathBuf::from(file);
        println!("cargo::rerun-if-changed={}", file.display());
        return file.canonicalize().map_err(|error| {
            format!(
                "ONEFLIGHT_BUILTIN names {}, which was not found: {error}",
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
