//! `oneflight completions`: scripts that let a shell complete the command line.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// Prints a script with which a shell completes commands and flags.
#[derive(Args, Debug)]
#[command(after_help = INSTALL)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

const INSTALL: &str = "\
Where the scripts belong:
  oneflight completions bash > ~/.local/share/bash-completion/completions/oneflight
  oneflight completions zsh > ~/.zfunc/_oneflight      with fpath+=~/.zfunc before compinit in ~/.zshrc
  oneflight completions fish > ~/.config/fish/completions/oneflight.fish";

impl Completions {
    /// `program` is the whole command line.
    pub(super) fn run(&self, program: &Command) -> anyhow::Result<ExitCode> {
        // `generate` panics if it cannot write, so it writes to memory.
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut shown(program),
            program.get_name(),
            &mut script,
        );
        stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `command` without what is hidden, which `generate` would offer: former names of flags, and the command that only other
/// commands run.
fn shown(command: &Command) -> Command {
    let below = command.get_subcommands().filter(|each| !each.is_hide_set());
    let arguments = command.get_arguments().filter(|each| !each.is_hide_set());
    let mut copy = Command::new(command.get_name().to_owned())
        .args(arguments.cloned())
        .subcommands(below.map(shown));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    match command.get_version() {
        Some(version) => copy.version(version.to_owned()),
        None => copy,
    }
}
