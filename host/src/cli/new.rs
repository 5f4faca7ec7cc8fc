//! `oneflight new`: makes a folder with a client that builds.

mod bindings;
mod folder;
mod language;

use std::fmt;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;

use self::folder::NewFolder;
use self::language::Language;

/// The contract, as it is when this program is built.
const CONTRACT: &str = include_str!("../../../wit/oneflight-client.wit");

/// Makes a folder with a client in one of six languages, which builds and passes `oneflight test`.
#[derive(Args, Debug)]
pub(super) struct New {
    /// The client, and the folder to make: lower-case words with hyphens between them.
    name: ClientName,

    /// The language.
    #[arg(long)]
    lang: Language,
}

/// The name of a new client: a valid name of a crate, an npm package and a WIT package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientName(String);

impl New {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Self { name, lang } = self;
        let path = PathBuf::from(&name.0);
        write_client(name, *lang, &path)?;
        writeln!(
            stdout(),
            "{name}/ has a client in {lang}; its README says what each file is.\n\n  \
             cd {name}\n  ./build.sh                       needs {tools}\n  oneflight test client.wasm\n  \
             oneflight get 1 --component client.wasm --base-url http://localhost:3000/items",
            tools = lang.tools(),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write_client(name: &ClientName, language: Language, path: &Path) -> anyhow::Result<()> {
    let mut folder = NewFolder::create(path)?;
    let written = write_files(name, language, &mut folder);
    if written.is_err() {
        folder.remove();
    }
    written.with_context(|| format!("could not make the client {name}"))
}

fn write_files(
    name: &ClientName,
    language: Language,
    folder: &mut NewFolder,
) -> anyhow::Result<()> {
    folder.file("wit/deps/oneflight-client.wit", CONTRACT.as_bytes())?;
    for file in language.files() {
        let text = name.put_into(file.text);
        folder.file(file.path, text.as_bytes())?;
    }
    folder.file(".gitignore", language.ignored().as_bytes())?;
    folder.script("build.sh", &name.put_into(language.build()))?;
    let readme = language.readme();
    folder.file("README.md", name.put_into(&readme).as_bytes())?;
    for (path, bytes) in bindings::generate(language, &folder.path().join("wit"))? {
        folder.file(&path, &bytes)?;
    }
    Ok(())
}

impl ClientName {
    /// A template's text with this name.
    fn put_into(&self, text: &str) -> String {
        text.replace("my-client", &self.0)
            .replace("my_client", &self.0.replace('-', "_"))
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit())
        };
        if name.len() <= 64 && name.split('-').all(is_word) {
            Ok(Self(name.to_owned()))
        } else {
            Err("expected lower-case words of letters and digits, with hyphens between them, at most 64 bytes, as my-client".to_owned())
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "my-client", "orders2", "a-b-c3"] {
            assert_eq!(name.parse(), Ok(ClientName(name.to_owned())), "{name}");
        }
        for name in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "A",
            "2a",
            "a-2",
            "a_b",
            "a/b",
            "..",
            "é",
            &"a".repeat(65),
        ] {
            assert!(name.parse::<ClientName>().is_err(), "{name}");
        }
        let name: ClientName = "acme-orders".parse().unwrap();
        assert_eq!(
            name.put_into("my-client my_client"),
            "acme-orders acme_orders"
        );
    }
}
