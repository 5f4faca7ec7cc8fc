//! `oneflight compile`: the child that compiles for the other commands, hidden from their help; the
//! flags that bind it, and the engine that they describe.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use oneflight::component::{Cache, CacheError, Program, compile_for_parent};
use oneflight::config::{CacheConfig, CompileConfig};
use oneflight::settings::CACHE_SIZE;
use oneflight::{Compilation, Compile as Policy, Engine, Limits};

/// Reads a component from standard input and writes its code to standard output, as another oneflight
/// tells it to.
#[derive(Args, Debug)]
pub(super) struct Compile {}

impl Compile {
    const NAME: &str = "compile";

    pub(super) fn run(&self) -> ExitCode {
        compile_for_parent()
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Compiling it")]
pub(super) struct CompileFlags {
    /// The folder that compiled code is kept in, for the next start.
    ///
    /// [default: oneflight in $XDG_CACHE_HOME, or in ~/.cache]
    #[arg(long, value_name = "DIR")]
    compile_cache: Option<PathBuf>,

    /// Keeps no compiled code, and uses none.
    #[arg(long, conflicts_with = "compile_cache")]
    no_compile_cache: bool,

    /// How much memory compiling a component may take, in MiB. [default: 2048]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(256..=1 << 20))]
    compile_memory: Option<u64>,

    /// How much processor time compiling a component may take, in seconds. [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    compile_cpu: Option<u64>,
}

impl CompileFlags {
    /// `config`, where these flags do not say otherwise.
    pub(super) fn over(&self, mut config: CompileConfig) -> CompileConfig {
        if self.no_compile_cache {
            config.cache = CacheConfig::Off;
        } else if let Some(folder) = &self.compile_cache {
            config.cache = CacheConfig::Folder(folder.clone());
        }
        if let Some(memory) = self.compile_memory {
            config.limits.max_memory_bytes = memory << 20;
        }
        if let Some(cpu) = self.compile_cpu {
            config.limits = config.limits.with_max_cpu_time(Duration::from_secs(cpu));
        }
        config
    }

    /// An engine for guests within `limits`, which compiles in children of this process.
    pub(super) fn engine(&self, limits: &Limits) -> anyhow::Result<Engine> {
        engine([limits], &self.over(CompileConfig::default()))
    }
}

/// An engine for clients that have these limits, which compiles in children of this process.
pub(super) fn engine<'a>(
    limits: impl IntoIterator<Item = &'a Limits>,
    config: &CompileConfig,
) -> anyhow::Result<Engine> {
    let compilation = Compilation {
        policy: Policy::Child(this_program()?),
        cache: cache(&config.cache)?,
        limits: config.limits.clone(),
    };
    Ok(Engine::for_clients(limits)?.compiling(compilation))
}

/// A folder that was named must be of use. One that was not may be absent, as on a machine without
/// homes; but where others can write to it, they are up to something or somebody has been careless, and
/// neither should go unnoticed.
fn cache(config: &CacheConfig) -> anyhow::Result<Option<Cache>> {
    const OTHERWISE: &str = "choose a folder with --compile-cache, or use --no-compile-cache";
    let folder = match config {
        CacheConfig::Off => return Ok(None),
        CacheConfig::Folder(folder) => {
            let cache = Cache::open(folder, CACHE_SIZE);
            return cache.map(Some).context("cannot keep compiled code");
        }
        CacheConfig::Home => folder(|name| std::env::var_os(name).map(PathBuf::from)),
    };
    let Some(folder) = folder else {
        tracing::warn!("compiled code is not kept: found no home of yours; {OTHERWISE}");
        return Ok(None);
    };
    match Cache::open(&folder, CACHE_SIZE) {
        Err(why @ CacheError::Unusable { .. }) => {
            tracing::warn!("compiled code is not kept: {why}; {OTHERWISE}");
            Ok(None)
        }
        opened => opened
            .map(Some)
            .with_context(|| format!("cannot keep compiled code; {OTHERWISE}")),
    }
}

/// The folder for what can be made again, as the XDG Base Directory Specification has it: a path that
/// is not absolute counts as none.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("oneflight"))
}

fn this_program() -> anyhow::Result<Program> {
    // What runs, even where its file has been replaced meanwhile: another release's code would not
    // run here.
    let running = Path::new("/proc/self/exe");
    let path = if running.exists() {
        running.to_owned()
    } else {
        std::env::current_exe().context("could not find the file of this program")?
    };
    Ok(Program {
        path,
        arguments: vec![Compile::NAME.to_owned()],
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
