//! The machine that figures were measured on.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Context;
use serde::Serialize;

/// What a reader has to know about a machine to compare figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The model name of the processor, where the system reports one.
    pub processor: String,
    /// The release of the kernel.
    pub kernel: String,
    /// The load average of the last minute. Much more than the benchmark itself causes makes the figures noise.
    pub load: String,
    /// The versions of the compiler and of the programs that are compared, as they print them.
    pub programs: Vec<String>,
}

impl Machine {
    /// This machine, with the versions of the compiler and of `peers`: programs and the arguments that make
    /// them print their version.
    pub fn current(peers: &[(&str, &[&str])]) -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let known = |text: Option<&str>| match text.map(str::trim) {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => "unknown".to_owned(),
        };
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let programs = [("rustc", &["--version"][..])];
        let programs = programs.iter().chain(peers);
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            processor: known(model.map(|(_, model)| model)),
            kernel: known(Some(&read("/proc/sys/kernel/osrelease"))),
            load: known(read("/proc/loadavg").split(' ').next()),
            programs: programs
                .map(|(program, arguments)| {
                    version(program, arguments).unwrap_or_else(|| format!("no {program}"))
                })
                .collect(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cores,
            processor,
            kernel,
            load,
            programs,
        } = self;
        let programs = programs.join("; ");
        write!(
            f,
            "{cores} cores, {processor}; Linux {kernel}; load {load}; {programs}"
        )
    }
}

/// The path of an installed program.
///
/// # Errors
///
/// It is neither on the `PATH` nor in `/usr/sbin`, where Debian puts servers.
pub fn installed(program: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed"))
}

/// The first line that a program prints about its version; some print it to stderr.
fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let program = installed(program).unwrap_or_else(|_| program.into());
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(text).ok()?.lines().next()?.to_owned())
}
