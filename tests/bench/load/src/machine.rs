//! Where the figures were taken.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

use crate::targets::installed;

/// What a reader has to know to compare figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Cores that this process may use.
    cores: usize,
    processor: String,
    kernel: String,
    /// Processes that wanted to run in the last minute: with much more than nothing the figures are noise.
    load: String,
    /// What the programs call themselves that are compared.
    programs: Vec<String>,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let programs = [
            ("rustc", "--version"),
            ("nginx", "-v"),
            ("varnishd", "-V"),
            ("haproxy", "-v"),
        ];
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            processor: model
                .unwrap_or_default()
                .trim_start_matches(['\t', ' ', ':'])
                .to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            programs: programs
                .iter()
                .filter_map(|(program, flag)| said(program, flag))
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

/// The first line that a program says of itself.
fn said(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(installed(program).unwrap_or(program.into()))
        .arg(flag)
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(said).ok()?.lines().next()?.to_owned())
}
