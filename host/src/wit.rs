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
    Function, InterfaceId, PackageId, Resolve, UnresolvedPackageGroup, WorldItem, WorldKey,
};

use self::files::WitFiles;

pub(crate) use self::documentation::CallableFunction;
pub use self::documentation::WitDifference;
pub(crate) use self::embedded::{EmbeddedDocs, embedded_docs};
pub use self::error::WitError;

/// A WIT package, with the packages that it uses. Two are equal if their texts are.
pub struct Wit {
    files: WitFiles,
    resolve: Resolve,
    main: PackageId,
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
        let parsed = files.packages().map(|package| {
            package.parse().map_err(|(map, error)| WitError::Invalid {
                place: map.render_location(error.kind().span()),
                why: error.to_string(),
            })
        });
        let mut parsed = parsed.collect::<Result<Vec<UnresolvedPackageGroup>, _>>()?;
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
            interfaces,
        })
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
