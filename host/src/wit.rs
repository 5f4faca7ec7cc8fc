//! [`Wit`]: the WIT of a component's functions, read for its documentation comments. Components that are built by cargo
//! and by cargo component do not carry them.
//!
//! It describes and decides nothing: which functions there are, and with which types, is what the component says. A WIT
//! that says otherwise is that of another component, and is refused.

mod documentation;
mod embedded;
mod error;
mod files;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use wit_parser::{
    Function, InterfaceId, PackageId, PackageName, Resolve, UnresolvedPackageGroup, WorldItem,
    WorldKey,
};

use crate::typed::{TypeBudget, example};

use self::files::WitFiles;
use self::types::{DocsBudget, TypeReader};

pub(crate) use self::documentation::CallableFunction;
pub use self::documentation::WitDifference;
pub(crate) use self::embedded::{EmbeddedDocs, embedded_docs};
pub use self::error::WitError;
pub use self::files::WitFile;

/// A WIT package, with the packages that it uses. Two are equal if their texts are.
pub struct Wit {
    files: WitFiles,
    resolve: Resolve,
    main: PackageId,
    /// The names of the packages whose files were read, in the order of the files.
    names: Vec<PackageName>,
    /// The interfaces of all packages by their names, as `acme:orders/orders@1.0.0`.
    interfaces: BTreeMap<String, InterfaceId>,
}

impl Wit {
    /// Reads the WIT package in a file, or in a folder whose folder `deps` has the packages that it uses, as cargo
    /// component and wit-bindgen have it: at most 1 MiB.
    ///
    /// It blocks: the files may be on a file system that hangs.
    ///
    /// # Errors
    ///
    /// [`WitError`] says what was expected, what was found and where.
    pub fn read(path: &Path) -> Result<Self, WitError> {
        Self::parse(WitFiles::read(path)?)
    }

    fn parse(files: WitFiles) -> Result<Self, WitError> {
        let parsed = files.packages().zip(files.files()).map(|(package, files)| {
            package.parse().map_err(|(map, error)| {
                let span = error.kind().span();
                // An error that is at no place is one of all files, such as that none of them names the package.
                let first = files.first().filter(|_| !span.is_known());
                WitError::Invalid {
                    place: first
                        .map_or_else(|| map.render_location(span), |file| file.name.clone()),
                    why: error.to_string(),
                }
            })
        });
        let mut parsed = parsed.collect::<Result<Vec<UnresolvedPackageGroup>, _>>()?;
        let names = parsed.iter().map(|group| group.main.name.clone()).collect();
        // The first one is the main one.
        let deps = parsed.split_off(1);
        let mut resolve = Resolve::default();
        let main = parsed.remove(0);
        let main = resolve
            .push_groups(main, deps)
            .map_err(|error| WitError::Invalid {
                place: resolve.render_location(error.kind().span()),
                why: error.to_string(),
            })?;
        let named = resolve.interfaces.iter().filter_map(|(id, interface)| {
            let name = interface.name.as_ref()?;
            Some((resolve.id_of_name(interface.package?, name), id))
        });
        let interfaces = named.collect();
        Ok(Self {
            files,
            resolve,
            main,
            names,
            interfaces,
        })
    }

    /// The package of the first files, with the packages of the others.
    ///
    /// # Errors
    ///
    /// [`WitError`] says what was expected, what was found and where.
    pub fn of_packages(packages: Vec<Vec<WitFile>>) -> Result<Self, WitError> {
        Self::parse(WitFiles::of_packages(packages))
    }

    /// The packages as they are parsed, and which of them is this one.
    #[must_use]
    pub fn resolve(&self) -> (&Resolve, PackageId) {
        (&self.resolve, self.main)
    }

    /// The packages that were read, with their files. This one is the first.
    pub fn packages(&self) -> impl Iterator<Item = (&PackageName, &[WitFile])> {
        let files = self.files.files().iter().map(Vec::as_slice);
        self.names.iter().zip(files)
    }

    /// An example of the arguments of `function`, which is one of these packages, as WAVE and in parentheses.
    ///
    /// # Errors
    ///
    /// Why a function with these types cannot be called.
    pub fn example_arguments(&self, function: &Function) -> Result<String, String> {
        let (resolve, docs) = (&self.resolve, &mut DocsBudget::default());
        let budget = &mut TypeBudget::default();
        let mut reader = TypeReader {
            resolve,
            budget,
            docs,
        };
        let (signature, _) = reader.function(function)?;
        Ok(example(&signature))
    }

    /// The functions of this name: several, if several worlds have one.
    fn functions(&self, interface: Option<&str>, name: &str) -> Vec<&Function> {
        let Some(interface) = interface else {
            let exports = self.exports(name).filter_map(|export| match export {
                WorldItem::Function(function) => Some(function),
                _ => None,
            });
            return exports.collect();
        };
        let interfaces = self.interfaces(interface).into_iter();
        let functions = interfaces.filter_map(|id| self.resolve.interfaces[id].functions.get(name));
        functions.collect()
    }

    /// The interfaces of this name: several, if several worlds have one.
    fn interfaces(&self, name: &str) -> Vec<InterfaceId> {
        let within = self.exports(name).filter_map(|export| match export {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        });
        self.interfaces
            .get(name)
            .copied()
            .into_iter()
            .chain(within)
            .collect()
    }

    /// What the worlds of the package export by a name of their own.
    fn exports(&self, name: &str) -> impl Iterator<Item = &WorldItem> + use<'_> {
        let key = WorldKey::Name(name.to_owned());
        let worlds = self.resolve.packages[self.main].worlds.values();
        worlds.filter_map(move |world| self.resolve.worlds[*world].exports.get(&key))
    }
}

impl PartialEq for Wit {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Wit {}

impl fmt::Debug for Wit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = &self.resolve.packages[self.main].name;
        write!(f, "Wit({package})")
    }
}
