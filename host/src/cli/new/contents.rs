//! [`Contents`]: what the folder of a new client has. All of it is made before a file is written.

use std::path::Path;

use anyhow::Context;

use super::bindings::{GoExports, generate};
use super::client_name::ClientName;
use super::folder::NewFolder;
use super::interface::ClientInterface;
use super::language::{Language, TemplateFile};
use super::stubs;

/// The files of a new client.
pub(super) struct Contents {
    files: Vec<NewFile>,
    /// What to run once it is built, as it is printed.
    pub(super) next_commands: String,
}

struct NewFile {
    path: String,
    bytes: Vec<u8>,
    is_script: bool,
}

impl Contents {
    /// A client that exports `get-items`, and makes a request for it.
    pub(super) fn of_items(client: &ClientName, language: Language) -> anyhow::Result<Self> {
        let interface = ClientInterface::of_items(client, language)?;
        let mut contents = Self {
            files: Vec::new(),
            next_commands: "  oneflight test client.wasm\n  \
                oneflight get 1 --component client.wasm --base-url http://localhost:3000/items"
                .to_owned(),
        };
        contents.templates(client, language.files());
        let (resolve, world) = interface.resolve();
        for file in generate(language, resolve, world, GoExports::Written)? {
            contents.file(file.path, file.bytes);
        }
        let readme = client.put_into(&language.readme());
        contents.common(client, language, &interface, language.build(), readme);
        Ok(contents)
    }

    /// A client that exports the functions of the WIT at `path`, with a stub for each.
    pub(super) fn of_functions(
        client: &ClientName,
        language: Language,
        path: &Path,
        world: Option<&str>,
    ) -> anyhow::Result<Self> {
        let interface = ClientInterface::read(path, world, client, language)?;
        let (share, call) = interface.example();
        // In the quotes of a shell.
        let call = call.replace('\'', r"'\''");
        let mut contents = Self {
            files: Vec::new(),
            next_commands: format!(
                "  oneflight check client.wasm --wit wit\n  \
                 oneflight call '{call}' --component client.wasm --base-url http://localhost:3000"
            ),
        };
        contents.templates(client, language.files_beside_stubs());
        contents.adapt(&interface, language);
        let (resolve, world) = interface.resolve();
        let mut bindings = generate(language, resolve, world, GoExports::Generated)?;
        for file in stubs::files(language, &interface.exports(), &mut bindings)? {
            contents.file(file.path, file.text.into_bytes());
        }
        for file in bindings {
            contents.file(file.path, file.bytes);
        }
        let readme = client.put_into(&language.readme_with_stubs());
        let readme = readme
            .replace("EXPORTS", &interface.exports().described())
            .replace("CALL", &call)
            .replace("SHARE", &share);
        let build = language.build_with_stubs();
        contents.common(client, language, &interface, build, readme);
        Ok(contents)
    }

    /// Puts into the templates what depends on the interface.
    fn adapt(&mut self, interface: &ClientInterface, language: Language) {
        let replaced = match language {
            Language::Rust => {
                let listed: Vec<_> = interface
                    .dependencies()
                    .map(|(name, path)| {
                        format!(
                            "\"{}:{}\" = {{ path = \"{path}\" }}\n",
                            name.namespace, name.name
                        )
                    })
                    .collect();
                vec![
                    (CONTRACT_DEPENDENCY, listed.concat()),
                    ("\"macros\", ", "\"bitflags\", \"macros\", ".to_owned()),
                ]
            }
            Language::Js | Language::Ts => {
                vec![(ENVIRONMENT, interface.environment().to_owned())]
            }
            Language::Python | Language::Go | Language::C => Vec::new(),
        };
        for file in &mut self.files {
            for (from, to) in &replaced {
                let text = String::from_utf8_lossy(&file.bytes).replace(from, to);
                file.bytes = text.into_bytes();
            }
        }
    }

    fn templates(&mut self, client: &ClientName, files: &[TemplateFile]) {
        for file in files {
            let text = client.put_into(file.text);
            self.file(file.path.to_owned(), text.into_bytes());
        }
    }

    /// What all clients have.
    fn common(
        &mut self,
        client: &ClientName,
        language: Language,
        interface: &ClientInterface,
        build: &str,
        readme: String,
    ) {
        for file in interface.files() {
            self.file(file.name.clone(), file.text.clone().into_bytes());
        }
        self.file(".gitignore".to_owned(), language.ignored().into());
        self.file("README.md".to_owned(), readme.into_bytes());
        self.files.push(NewFile {
            path: "build.sh".to_owned(),
            bytes: client.put_into(build).into_bytes(),
            is_script: true,
        });
    }

    fn file(&mut self, path: String, bytes: Vec<u8>) {
        self.files.push(NewFile {
            path,
            bytes,
            is_script: false,
        });
    }

    /// Writes all files to a folder that does not exist yet; or none.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut folder = NewFolder::create(path)?;
        let written = self.files.iter().try_for_each(|file| {
            if file.is_script {
                folder.script(&file.path, &file.bytes)
            } else {
                folder.file(&file.path, &file.bytes)
            }
        });
        if written.is_err() {
            folder.remove();
        }
        written.with_context(|| format!("could not make the client {}", path.display()))
    }
}

/// The line of the contract in the list of packages of cargo component.
const CONTRACT_DEPENDENCY: &str =
    "\"oneflight:client\" = { path = \"wit/deps/oneflight-client.wit\" }\n";

/// The interface of WASI in the templates of JavaScript.
const ENVIRONMENT: &str = "wasi:cli/environment@0.2.3";
