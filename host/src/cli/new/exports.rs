//! [`ClientExports`]: the functions that a client exports.

use wit_parser::{Function, InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

/// What a client exports.
pub(super) struct ClientExports<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) world: WorldId,
    /// Those with functions.
    pub(super) interfaces: Vec<ExportedInterface<'a>>,
    /// The functions outside of interfaces.
    pub(super) functions: Vec<&'a Function>,
}

/// An interface that a client exports.
pub(super) struct ExportedInterface<'a> {
    pub(super) id: InterfaceId,
    /// Its name without that of its package.
    pub(super) name: &'a str,
    /// Its name with that of its package, if it has one.
    pub(super) qualified: String,
    pub(super) functions: Vec<&'a Function>,
}

impl<'a> ClientExports<'a> {
    /// What `world` exports.
    pub(super) fn of(resolve: &'a Resolve, world: WorldId) -> Self {
        let (mut interfaces, mut functions) = (Vec::new(), Vec::new());
        for (key, item) in &resolve.worlds[world].exports {
            match (key, item) {
                (_, WorldItem::Function(function)) => functions.push(function),
                (key, WorldItem::Interface { id, .. }) => {
                    let interface = &resolve.interfaces[*id];
                    let name = match key {
                        WorldKey::Name(name) => Some(name),
                        WorldKey::Interface(_) => interface.name.as_ref(),
                    };
                    if interface.functions.is_empty() {
                        continue;
                    }
                    interfaces.push(ExportedInterface {
                        id: *id,
                        name: name.map_or("", String::as_str),
                        qualified: resolve.name_world_key(key),
                        functions: interface.functions.values().collect(),
                    });
                }
                (_, WorldItem::Type { .. }) => {}
            }
        }
        Self {
            resolve,
            world,
            interfaces,
            functions,
        }
    }

    /// The names of what is exported, for a text.
    pub(super) fn described(&self) -> String {
        let interfaces = self.interfaces.iter();
        let mut names: Vec<_> = interfaces
            .map(|interface| format!("`{}`", interface.qualified))
            .collect();
        names.extend(self.functions.iter().map(|each| format!("`{}`", each.name)));
        match names.split_last() {
            Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.concat(),
        }
    }
}

impl ExportedInterface<'_> {
    /// Whether `function` is the one that `oneflight get` calls.
    pub(super) fn has_items(&self, function: &Function) -> bool {
        function.name == "get-items" && self.qualified.starts_with("oneflight:client/items@")
    }
}
