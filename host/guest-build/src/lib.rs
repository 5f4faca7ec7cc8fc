//! Builds a guest to a component, in a build script.
//!
//! The host's built-in client and the guests of the tests are built in the same way: in a target folder of their own
//! that all profiles share (so that clippy, release and doc do not build a guest again), and without the environment
//! that the outer cargo sets for the crate that it builds (its flags and wrappers are not meant for Wasm). It reads
//! only the package's name and its path dependencies from the manifest, and does not check the component against the
//! contract; loading it does.
//!
//! ```no_run
//! use std::path::Path;
//! use std::process::ExitCode;
//!
//! use guest_build::{Guest, Tool};
//!
//! fn main() -> ExitCode {
//!     let guest = Guest {
//!         dir: Path::new("../guest-client"),
//!         wit: Path::new("../wit"),
//!         tool: Tool::Cargo,
//!     };
//!     match guest_build::build(&guest) {
//!         Ok(path) => println!("cargo::rustc-env=BUILT_IN_COMPONENT={}", path.display()),
//!         Err(error) => {
//!             // Fail, as cargo shows the compiler's output only then.
//!             println!("cargo::error={error}");
//!             return ExitCode::FAILURE;
//!         }
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```

use std::env;
use std::error;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A guest's sources.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The folder of its package, a separate workspace with a `Cargo.lock`. Its library is named
    /// as the package is.
    pub dir: &'a Path,
    /// The folder of the WIT that it implements.
    pub wit: &'a Path,
    /// The tool that builds it.
    pub tool: Tool,
}

/// A tool that builds a component from a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `cargo build --target wasm32-wasip2`.
    Cargo,
    /// `cargo component build`, which builds for wasm32-wasip1 and adapts the module.
    CargoComponent,
}

impl Tool {
    /// The target that the toolchain must have.
    fn target(self) -> &'static str {
        match self {
            Self::Cargo => "wasm32-wasip2",
            Self::CargoComponent => "wasm32-wasip1",
        }
    }

    /// The folder for its output. The tools give their output the same name, so they must not share one.
    fn folder(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::CargoComponent => "cargo-component",
        }
    }
}

/// Builds `guest`, copies the component to `OUT_DIR`, and returns the path of the copy, which no later build changes
/// while a compiler reads it. Prints the files on which cargo must run the build script again.
///
/// Blocks while another build script builds a guest in the same target folder.
///
/// # Errors
///
/// Every [`Error`] says what to do, in one line as `cargo::error=` requires. If a guest does not build, the output of
/// the compiler precedes it on standard error.
pub fn build(guest: &Guest<'_>) -> Result<PathBuf, Error> {
    let file = guest.dir.join("Cargo.toml");
    let manifest = fs::read_to_string(&file).map_err(|source| Error::io(&file, &source))?;
    let dependencies = path_dependencies(&manifest).map(|path| guest.dir.join(path));
    for dir in dependencies.chain([guest.dir.to_owned()]) {
        for watched in ["src", "Cargo.toml", "Cargo.lock", "build.rs"] {
            let watched = dir.join(watched);
            // A missing file would count as changed each time.
            if watched.exists() {
                println!("cargo::rerun-if-changed={}", watched.display());
            }
        }
    }
    println!("cargo::rerun-if-changed={}", guest.wit.display());

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or(Error::NotABuildScript)?);
    let guests = target_root(&out_dir).join("guests");
    let name = package_name(&manifest).ok_or(Error::NoPackageName(file))?;
    let name = name.replace('-', "_");
    let file = format!("{name}.wasm");

    fs::create_dir_all(&guests).map_err(|source| Error::io(&guests, &source))?;
    let lock = guests.join(".lock");
    let _lock = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|source| Error::io(&lock, &source))?;

    require_target(guest.tool.target())?;
    let target_dir = guests.join(guest.tool.folder());
    run(guest, &target_dir)?;

    let built = target_dir
        .join(guest.tool.target())
        .join("release")
        .join(&file);
    let component = fs::read(&built).map_err(|source| Error::io(&built, &source))?;
    if !is_component(&component) {
        return Err(Error::NotAComponent(built));
    }
    let path = out_dir.join(&file);
    fs::write(&path, component).map_err(|source| Error::io(&path, &source))?;
    Ok(path)
}

/// The version of `cargo component`, or `None` if it is not installed.
#[must_use]
pub fn cargo_component_version() -> Option<String> {
    let output = cargo().args(["component", "--version"]).output().ok()?;
    let words = String::from_utf8(output.stdout).ok()?;
    Some(words.split_whitespace().last()?.to_owned()).filter(|_| output.status.success())
}

/// Why a guest could not be built.
#[derive(Clone, Debug)]
pub enum Error {
    /// `OUT_DIR` is not set, so this is not a build script.
    NotABuildScript,
    /// The manifest at this path has no line `name = "..."`.
    NoPackageName(PathBuf),
    /// The toolchain lacks a target, and this command failed to install it.
    NoTarget(String),
    /// A program could not be started.
    NotStarted {
        /// The program.
        program: String,
        /// The error of the system.
        reason: String,
    },
    /// The guest did not build.
    NotBuilt {
        /// The folder of the guest.
        dir: PathBuf,
        /// The command that failed.
        command: String,
    },
    /// The output is not a component.
    NotAComponent(PathBuf),
    /// A file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
}

impl Error {
    fn io(path: &Path, source: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            reason: source.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABuildScript => {
                f.write_str("OUT_DIR is not set: guests are built from build scripts, run by cargo")
            }
            Self::NoPackageName(manifest) => {
                write!(
                    f,
                    "expected a line `name = \"...\"` in {}, got none; add it",
                    manifest.display()
                )
            }
            Self::NoTarget(command) => {
                write!(
                    f,
                    "the toolchain lacks a target that guests are built for: run `{command}`"
                )
            }
            Self::NotStarted { program, reason } => {
                write!(
                    f,
                    "`{program}` did not start ({reason}): install it or put it on the PATH"
                )
            }
            Self::NotBuilt { dir, command } => {
                let dir = dir.display();
                write!(
                    f,
                    "the guest in {dir} did not build: run `{command}` there and fix the errors"
                )
            }
            Self::NotAComponent(path) => {
                let path = path.display();
                write!(
                    f,
                    "expected a component, got {path} (a failed adaptation leaves a core module); remove it and build again"
                )
            }
            Self::Io { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl error::Error for Error {}

/// Runs the tool. Its output goes to standard error, as cargo parses the standard output of a build script.
fn run(guest: &Guest<'_>, target_dir: &Path) -> Result<(), Error> {
    let mut command = cargo();
    if guest.tool == Tool::CargoComponent {
        command.arg("component");
    }
    command.args([
        "build",
        "--release",
        "--locked",
        "--target",
        guest.tool.target(),
    ]);
    // By the environment, as cargo component ignores `--target-dir` for some of its files.
    command.env("CARGO_TARGET_DIR", target_dir);
    command.current_dir(guest.dir).stdout(io::stderr());
    if status(&mut command)? {
        return Ok(());
    }
    Err(Error::NotBuilt {
        dir: guest.dir.to_owned(),
        command: command_line(&command),
    })
}

/// Installs `target` if the toolchain lacks it, in the toolchain that the outer cargo runs in: the guest's folder may
/// have another default.
fn require_target(target: &str) -> Result<(), Error> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = rustc
        .args(["--print", "sysroot"])
        .output()
        .map_err(|source| not_started(&rustc, &source))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    if sysroot.join("lib/rustlib").join(target).is_dir() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]).stdout(io::stderr());
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        rustup.arg("--toolchain").arg(toolchain);
    }
    println!(
        "cargo::warning=the toolchain lacks {target}: running `{}`",
        command_line(&rustup)
    );
    match status(&mut rustup) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Error::NoTarget(command_line(&rustup))),
    }
}

/// The cargo that runs the build script, with the environment that it was itself started with.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if is_outer(&name) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Whether a variable belongs to the outer build only. Variables that configure cargo's location, network and registries
/// do not.
fn is_outer(name: &OsStr) -> bool {
    const PREFIXES: [&str; 9] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CLIPPY_",
        "DEP_",
    ];
    const NAMES: [&str; 19] = [
        "CARGO_ENCODED_RUSTDOCFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "DEBUG",
        "HOST",
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "MFLAGS",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn status(command: &mut Command) -> Result<bool, Error> {
    let status = command
        .status()
        .map_err(|source| not_started(command, &source))?;
    Ok(status.success())
}

fn not_started(command: &Command, source: &io::Error) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    Error::NotStarted {
        program,
        reason: source.to_string(),
    }
}

/// The command as it is typed in a shell.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or_default();
    let words = [program]
        .into_iter()
        .chain(command.get_args())
        .map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// The outer cargo's target folder. Cargo creates it with a `CACHEDIR.TAG`. In a folder that existed before there is
/// none, and `OUT_DIR` is four levels down (`<root>/<profile>/build/<package>/out`).
fn target_root(out_dir: &Path) -> &Path {
    let mut ancestors = out_dir.ancestors().take(7);
    let marked = ancestors.find(|dir| dir.join("CACHEDIR.TAG").is_file());
    marked
        .or_else(|| out_dir.ancestors().nth(4))
        .unwrap_or(out_dir)
}

/// The package's name in its manifest.
fn package_name(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| {
        line.strip_prefix("name")?
            .trim_start()
            .strip_prefix('=')?
            .split('"')
            .nth(1)
    })
}

/// The folders of the dependencies that a manifest names by their paths, each on one line, as in
/// `name = { path = "folder" }`.
fn path_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| {
        let (before, path) = line.split_once("path = \"")?;
        before.contains('{').then(|| path.split('"').next())?
    })
}

/// Whether `binary` has the header of a component: the Wasm magic, version 13, layer 1. A core module has version 1,
/// layer 0.
fn is_component(binary: &[u8]) -> bool {
    binary.starts_with(b"\0asm\x0d\0\x01\0")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::{env, fs};

    use super::{
        command_line, is_component, is_outer, package_name, path_dependencies, target_root,
    };

    /// A folder that is removed when it is dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("guest-build-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_core_module_is_not_a_component() {
        assert!(is_component(b"\0asm\x0d\0\x01\0\x07"));
        assert!(!is_component(b"\0asm\x01\0\0\0\x01"));
        assert!(!is_component(b"\0asm"));
        assert!(!is_component(b"(component)"));
    }

    #[test]
    fn flags_of_the_outer_build_are_removed() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            assert!(is_outer(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn variables_of_the_registry_and_the_toolchain_are_kept() {
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "HTTPS_PROXY",
            "PATH",
            "RUSTC",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!is_outer(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn the_target_folder_is_the_one_with_the_tag() {
        let root = Folder::new("marked");
        fs::write(root.0.join("CACHEDIR.TAG"), "").unwrap();
        let native = root.0.join("debug/build/host-0123/out");
        let cross = root
            .0
            .join("x86_64-unknown-linux-gnu/release/build/host-0123/out");
        assert_eq!(target_root(&native), root.0);
        assert_eq!(target_root(&cross), root.0);
    }

    #[test]
    fn a_target_folder_without_a_tag_is_found_by_its_level() {
        let root = Folder::new("unmarked");
        let out_dir = root.0.join("debug/build/host-0123/out");
        assert_eq!(target_root(&out_dir), root.0);
    }

    #[test]
    fn the_name_of_the_package_and_its_path_dependencies_are_read_from_the_manifest() {
        let manifest = "[package]\nname = \"a-guest\" # a name\n[lib]\npath = \"lib.rs\"\n[dependencies]\n\
                        a = \"1\"\nb = { package = \"c\", path = \"../d\" } # a path\n";
        assert_eq!(package_name(manifest), Some("a-guest"));
        assert!(path_dependencies(manifest).eq(["../d"]));
        assert_eq!(package_name("[package]\n"), None);
    }

    #[test]
    fn an_error_prints_the_command_to_type() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["component", "build", "--release"]);
        assert_eq!(command_line(&command), "cargo component build --release");
    }
}
