//! `oneflight man`: manual pages, from the same definitions as `--help`.

use std::fs::create_dir_all;
use std::io::{self, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

/// Prints the manual page, or writes the pages of all commands into a folder.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManPages {
    /// The folder for the pages: oneflight.1, and one for each command, such as oneflight-serve.1.
    folder: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  oneflight man | man -l -
  oneflight man ~/.local/share/man/man1     then: man oneflight-serve";

impl ManPages {
    /// `program` is the whole command line.
    pub(super) fn run(&self, program: Command) -> anyhow::Result<ExitCode> {
        let mut program = program.disable_help_subcommand(true);
        // Gives each command its full name.
        program.build();
        match &self.folder {
            None => page(&program).render(&mut stdout())?,
            Some(folder) => create_dir_all(folder)
                .and_then(|()| write_pages(folder, &program))
                .with_context(|| {
                    format!("could not write manual pages into {}", folder.display())
                })?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages of a command and of those below it.
fn write_pages(folder: &Path, command: &Command) -> io::Result<()> {
    page(command).generate_to(folder)?;
    let shown = command.get_subcommands().filter(|each| !each.is_hide_set());
    for each in shown {
        write_pages(folder, each)?;
    }
    Ok(())
}

fn page(command: &Command) -> Man {
    let version = env!("ONEFLIGHT_VERSION");
    Man::new(command.clone())
        // Not empty: `Man` would leave out the argument, and the next one would take its place.
        .date(date(version).unwrap_or(" "))
        .source(concat!("oneflight ", env!("CARGO_PKG_VERSION")))
        .manual("Oneflight manual")
}

/// The date in a version such as `0.1.0 (2fc97e8 2026-11-27)`.
fn date(version: &str) -> Option<&str> {
    let (_, last) = version.strip_suffix(')')?.rsplit_once(' ')?;
    last.contains('-').then_some(last)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn the_date_of_a_page_is_that_of_the_commit() {
        assert_eq!(date("0.1.0 (2fc97e8 2026-11-27)"), Some("2026-11-27"));
        assert_eq!(date("0.1.0 (2fc97e8)"), None);
        assert_eq!(date("0.1.0"), None);
    }
}
