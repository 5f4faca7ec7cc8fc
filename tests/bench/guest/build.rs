//! Builds the component for `wasmtime serve` and the guest with typed functions, and reads which release of wasmtime the host is built with.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use guest_build::{Guest, Tool};

const LOCK: &str = "../../../Cargo.lock";

fn main() -> ExitCode {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn build() -> Result<(), Box<dyn Error>> {
    let dir = Path::new("proxy");
    let proxy = guest_build::build(&Guest {
        dir,
        // It exports an interface of WASI, which comes with its dependencies.
        wit: dir,
        tool: Tool::Cargo,
    })?;
    println!("cargo::rustc-env=PROXY_COMPONENT={}", proxy.display());
    let samples = guest_build::build(&Guest {
        dir: Path::new("samples"),
        wit: Path::new("../../../wit"),
        tool: Tool::Cargo,
    })?;
    println!("cargo::rustc-env=SAMPLES_COMPONENT={}", samples.display());

    println!("cargo::rerun-if-changed={LOCK}");
    let lock = fs::read_to_string(LOCK)?;
    let (_, package) = lock
        .split_once("name = \"wasmtime\"\nversion = \"")
        .ok_or("Cargo.lock has no wasmtime")?;
    let version = package.split('"').next().unwrap_or_default();
    println!("cargo::rustc-env=WASMTIME_VERSION={version}");
    Ok(())
}
