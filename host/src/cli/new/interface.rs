//! [`ClientInterface`]: the functions that a new client exports, and the WIT that says so.

mod chosen;
mod environment;
mod refused;

use std::path::Path;

use anyhow::Context;
use oneflight::{Wit, WitFile};
use wit_parser::{PackageName, Resolve, WorldId};

use self::chosen::Chosen;
use self::environment::environment_of;
use super::client_name::ClientName;
use super::exports::ClientExports;
use super::language::Language;

/// The contract, as it is when this program is built.
const CONTRACT: &str = include_str!("../../../wit/oneflight-client.wit");

/// The WIT of a new client.
pub(super) struct ClientInterface {
    /// The package of the client, with what it imports and exports, and those that it uses. The names of the files are
    /// their paths in the folder of the client.
    wit: Wit,
    world: WorldId,
    /// The name of wasi:cli/environment, if the client imports it.
    environment: String,
}

impl ClientInterface {
    /// Reads the WIT at `path`, of which the client exports the world `world`, or else the only world with exports, or else
    /// all interfaces with functions.
    pub(super) fn read(
        path: &Path,
        world: Option<&str>,
        client: &ClientName,
        language: Language,
    ) -> anyhow::Result<Self> {
        let given = Wit::read(path)?;
        let chosen = Chosen::of(&given, world)?;
        let environment = language
            .reads_settings_by_wasi()
            .then(|| environment_of(&given));
        let mut packages = vec![vec![WitFile {
            name: "wit/world.wit".to_owned(),
            text: chosen.world(client, environment.as_ref()),
        }]];
        packages.extend(dependencies(&given));
        let wit = Wit::of_packages(packages).with_context(|| {
            let path = path.display();
            format!("could not combine the WIT of {path} with that of a client")
        })?;
        let (resolve, package) = wit.resolve();
        let world = resolve.select_world(&[package], Some("client"))?;
        let environment = environment.map_or_else(String::new, |environment| environment.name);
        let interface = Self {
            wit,
            world,
            environment,
        };
        let exports = interface.exports();
        refused::check(
            &given,
            &interface.wit,
            &exports,
            &chosen.described,
            language,
        )?;
        Ok(interface)
    }

    /// That of a client that exports `get-items`.
    pub(super) fn of_items(client: &ClientName, language: Language) -> anyhow::Result<Self> {
        // Its name may be a keyword of WIT.
        let text = language.world();
        let own = WitFile {
            name: "wit/world.wit".to_owned(),
            text: text.replace("my-client", &chosen::escaped(client.as_str())),
        };
        let wit = Wit::of_packages(vec![vec![own], vec![contract()]])?;
        let (resolve, package) = wit.resolve();
        let world = resolve.select_world(&[package], Some("client"))?;
        Ok(Self {
            wit,
            world,
            environment: String::new(),
        })
    }

    /// The files of the folder `wit`.
    pub(super) fn files(&self) -> impl Iterator<Item = &WitFile> {
        self.wit.packages().flat_map(|(_, files)| files)
    }

    /// The packages that the client's own uses, and the folder or the file of each.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = (&PackageName, &str)> {
        self.wit.packages().skip(1).filter_map(|(name, files)| {
            let path = &files.first()?.name;
            let end = match path.rsplit_once('/') {
                Some(("wit/deps", _)) | None => path.len(),
                Some((folder, _)) => folder.len(),
            };
            Some((name, &path[..end]))
        })
    }

    pub(super) fn resolve(&self) -> (&Resolve, WorldId) {
        (self.wit.resolve().0, self.world)
    }

    /// The name of wasi:cli/environment, by which JavaScript reads settings.
    pub(super) fn environment(&self) -> &str {
        &self.environment
    }

    pub(super) fn exports(&self) -> ClientExports<'_> {
        let (resolve, world) = self.resolve();
        ClientExports::of(resolve, world)
    }

    /// The function that is called as an example, by the name that sharing has for it, and such a call.
    pub(super) fn example(&self) -> (String, String) {
        self.found_example().unwrap_or_default()
    }

    fn found_example(&self) -> Option<(String, String)> {
        let exports = self.exports();
        let within = exports.interfaces.iter().flat_map(|interface| {
            let functions = interface.functions.iter();
            functions.map(move |function| (Some(interface), *function))
        });
        let outside = exports.functions.iter().map(|function| (None, *function));
        let all: Vec<_> = within.chain(outside).collect();
        let (interface, function) = all.iter().find(|(interface, function)| {
            !interface.is_some_and(|interface| interface.has_items(function))
        })?;
        let name = match interface {
            Some(interface) => format!("{}#{}", interface.qualified, function.name),
            None => function.name.clone(),
        };
        let is_unique = all
            .iter()
            .filter(|(_, other)| other.name == function.name)
            .count()
            == 1;
        let called = if is_unique { &function.name } else { &name };
        let arguments = self.wit.example_arguments(function).ok()?;
        Some((name.clone(), format!("{called}{arguments}")))
    }
}

fn contract() -> WitFile {
    WitFile {
        name: "wit/deps/oneflight-client.wit".to_owned(),
        text: CONTRACT.to_owned(),
    }
}

/// The packages that the client's own package uses: the contract, and those that are given, in a folder each.
fn dependencies(given: &Wit) -> Vec<Vec<WitFile>> {
    let mut packages = vec![vec![contract()]];
    for (name, files) in given.packages() {
        if name.to_string() == "oneflight:client@0.1.0" {
            continue;
        }
        let is_alone = given
            .packages()
            .filter(|(other, _)| other.namespace == name.namespace && other.name == name.name)
            .count()
            == 1;
        let mut folder = format!("{}-{}", name.namespace, name.name);
        if let Some(version) = name.version.as_ref().filter(|_| !is_alone) {
            folder = format!("{folder}-{version}");
        }
        let files = files.iter().map(|file| {
            let own = Path::new(&file.name).file_name().unwrap_or_default();
            WitFile {
                name: format!("wit/deps/{folder}/{}", own.to_string_lossy()),
                text: file.text.clone(),
            }
        });
        packages.push(files.collect());
    }
    packages
}
