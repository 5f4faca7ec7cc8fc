//! `oneflight new`: makes a folder with a client that builds.

mod bindings;
mod client_name;
mod contents;
mod exports;
mod folder;
mod interface;
mod language;
mod stubs;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::client_name::ClientName;
use self::contents::Contents;
use self::language::Language;

/// Makes a folder with a client in one of six languages, which builds and passes `oneflight test`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct New {
    /// The client, and the folder to make: lower-case words with hyphens between them.
    name: ClientName,

    /// The language.
    #[arg(long)]
    lang: Language,

    /// A WIT file, or a folder whose folder deps has the packages that it uses: the client exports the functions of its
    /// world, or if it has none, of its interfaces. Without it, the client exports get-items.
    #[arg(long, value_name = "PATH")]
    interface: Option<PathBuf>,

    /// The world in --interface, if several have exports.
    #[arg(long, value_name = "NAME", requires = "interface")]
    world: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  oneflight new my-client --lang python
  oneflight new orders --lang rust --interface orders.wit      a stub for each function of orders.wit";

impl New {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Self { name, lang, .. } = self;
        let contents = match &self.interface {
            None => Contents::of_items(name, *lang)?,
            Some(path) => Contents::of_functions(name, *lang, path, self.world.as_deref())?,
        };
        contents.write(&PathBuf::from(name.as_str()))?;
        writeln!(
            stdout(),
            "{name}/ has a client in {lang}; its README says what each file is.\n\n  \
             cd {name}\n  ./build.sh                       needs {tools}\n{next}",
            tools = lang.tools(),
            next = contents.next_commands,
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
