//! Where the figures were taken.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

/// What a reader has to know about a machine to compare figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What the processor calls itself, where the system tells.
    pub processor: String,
    /// The compiler.
    pub rustc: String,
    /// A program that takes part, if it is there.
    pub peer: String,
    /// Processes that wanted to run in the last minute, where the system tells: with much more than the
    /// benchmark itself the figures are noise.
    pub load: String,
}

impl Machine {
    /// This one, where `peer` says its version when it is given these arguments.
    pub fn this(peer: &str, version: &[&str]) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let unknown = || "unknown".to_owned();
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            processor: model.map_or_else(unknown, |model| {
                model.trim_start_matches(['\t', ' ', ':']).to_owned()
            }),
            rustc: said("rustc", &["--version"]).unwrap_or_else(unknown),
            peer: said(peer, version).unwrap_or_else(|| format!("no {peer}")),
            load: load.split(' ').next().map_or_else(unknown, str::to_owned),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cores,
            processor,
            rustc,
            peer,
            load,
        } = self;
        write!(
            f,
            "{cores} cores, {processor}; load {load}; {rustc}; {peer}"
        )
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    Some(said.trim().to_owned())
}
