//! `oneflight compile`: the child that compiles for the other commands, hidden from their help; the flags that
//! limit it, and the engine that they describe.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use oneflight::component::{Cache, CacheError, Program, compile_for_parent};
use oneflight::config::{CacheConfig, CompileConfig, describe, summarize};
use oneflight::settings::CACHE_SIZE;
use oneflight::{Compilation, Compile, CompileLimits, Engine};

use super::flag::{RenamedFlag, limit, renamed};

/// Reads a component from standard input and writes its code to standard output, for another oneflight.
#[derive(Args, Debug)]
pub(super) struct CompileCommand {}

impl CompileCommand {
    const NAME: &str = "compile";

    pub(super) fn run(&self) -> ExitCode {
        compile_for_parent()
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Compiling")]
pub(super) struct CompileFlags {
    #[command(flatten)]
    cache: CacheFlags,

    #[arg(
        long,
        value_name = "SIZE",
        value_parser = limit("max_memory_bytes", |limits: &CompileLimits| limits.max_memory_bytes),
        help = summarize("compile.max_memory_bytes"), long_help = describe("compile.max_memory_bytes")
    )]
    compile_max_memory_bytes: Option<u64>,

    #[arg(
        long,
        value_name = "TIME",
        value_parser = limit("max_cpu_time", |limits: &CompileLimits| limits.max_cpu_time),
        help = summarize("compile.max_cpu_time"), long_help = describe("compile.max_cpu_time")
    )]
    compile_max_cpu_time: Option<Duration>,

    #[arg(long, hide = true, value_name = "MIB", value_parser = renamed("--compile-max-memory-bytes", "MiB"))]
    compile_memory: Option<RenamedFlag>,

    #[arg(long, hide = true, value_name = "SECONDS", value_parser = renamed("--compile-max-cpu-time", "s"))]
    compile_cpu: Option<RenamedFlag>,
}

/// Where compiled code and pulled components are kept.
#[derive(Args, Debug)]
pub(super) struct CacheFlags {
    #[arg(long, value_name = "DIR", help = summarize("compile.cache"), long_help = describe("compile.cache"))]
    compile_cache: Option<PathBuf>,

    /// Disables the cache of compiled code and of components from registries.
    #[arg(long, conflicts_with = "compile_cache")]
    no_compile_cache: bool,
}

impl CacheFlags {
    /// `config` with what these flags set.
    pub(super) fn over(&self, mut config: CompileConfig) -> CompileConfig {
        if self.no_compile_cache {
            config.cache = CacheConfig::Off;
        } else if let Some(folder) = &self.compile_cache {
            config.cache = CacheConfig::Folder(folder.clone());
        }
        config
    }
}

impl CompileFlags {
    /// `config` with what these flags set.
    pub(super) fn over(&self, config: CompileConfig) -> CompileConfig {
        let mut config = self.cache.over(config);
        if let Some(memory) = self.compile_max_memory_bytes {
            config.limits.max_memory_bytes = memory;
        }
        if let Some(time) = self.compile_max_cpu_time {
            config.limits = config.limits.with_max_cpu_time(time);
        }
        config
    }

    /// An engine that compiles in children of this process.
    pub(super) fn engine(&self) -> anyhow::Result<Engine> {
        engine(&self.over(CompileConfig::default()))
    }
}

/// An engine that compiles in children of this process.
pub(super) fn engine(config: &CompileConfig) -> anyhow::Result<Engine> {
    Ok(Engine::on_demand()?.compiling(compilation(config)?))
}

/// Compilation in children of this process.
pub(super) fn compilation(config: &CompileConfig) -> anyhow::Result<Compilation> {
    Ok(Compilation {
        policy: Compile::Child(this_program()?),
        cache: cache(&config.cache)?,
        limits: config.limits.clone(),
    })
}

/// A folder that was set must be usable. The default one may be absent, as on a machine without home folders; but
/// where others can write to it, that is a mistake or an attack, so a warning is logged.
fn cache(config: &CacheConfig) -> anyhow::Result<Option<Cache>> {
    const OTHERWISE: &str = "choose a folder with --compile-cache, or use --no-compile-cache";
    let folder = match config {
        CacheConfig::Off => return Ok(None),
        CacheConfig::Folder(folder) => {
            let cache = Cache::open(folder, CACHE_SIZE);
            return cache.map(Some).context("cannot cache compiled code");
        }
        CacheConfig::Home => folder(|name| std::env::var_os(name).map(PathBuf::from)),
    };
    let Some(folder) = folder else {
        tracing::warn!(
            "compiled code is not cached: expected $XDG_CACHE_HOME or $HOME, got neither; {OTHERWISE}"
        );
        return Ok(None);
    };
    match Cache::open(&folder, CACHE_SIZE) {
        Err(why @ CacheError::Unusable { .. }) => {
            tracing::warn!("compiled code is not cached: {why}; {OTHERWISE}");
            Ok(None)
        }
        opened => opened
            .map(Some)
            .with_context(|| format!("cannot cache compiled code; {OTHERWISE}")),
    }
}

/// The folder for caches by the XDG Base Directory Specification, which ignores a path that is not absolute.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("oneflight"))
}

fn this_program() -> anyhow::Result<Program> {
    // The running program, even where its file has been replaced since: another release's code would not run here.
    let running = Path::new("/proc/self/exe");
    let path = if running.exists() {
        running.to_owned()
    } else {
        std::env::current_exe().context("could not find the file of this program")?
    };
    Ok(Program {
        path,
        arguments: vec![CompileCommand::NAME.to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::folder;

    fn folder_with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        folder(|name| {
            let mut variables = variables.iter();
            let (_, value) = variables.find(|(variable, _)| *variable == name)?;
            Some(PathBuf::from(value))
        })
    }

    #[test]
    fn compiled_code_is_kept_where_the_system_keeps_what_can_be_made_again() {
        let both = [("XDG_CACHE_HOME", "/caches"), ("HOME", "/home/me")];
        assert_eq!(folder_with(&both), Some("/caches/oneflight".into()));
        let home = [("XDG_CACHE_HOME", "caches"), ("HOME", "/home/me")];
        assert_eq!(folder_with(&home), Some("/home/me/.cache/oneflight".into()));
        assert_eq!(folder_with(&[("HOME", "")]), None);
        assert_eq!(folder_with(&[]), None);
    }
}
