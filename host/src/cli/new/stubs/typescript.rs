//! Stubs in TypeScript, for componentize-qjs.

use heck::ToUpperCamelCase;
use wit_parser::{InterfaceId, Resolve, Type, TypeId, TypeOwner};

use super::javascript::{source, variable};
use super::text::{SourceFile, purpose, unlike, wrapped};
use super::type_syntax::{TypeSyntax, answer};
use crate::cli::new::exports::ClientExports;

/// The module of the types of the world itself.
pub(super) const WORLD: &str = "local:client/world";

/// Names that the client's module has besides.
const TAKEN: [&str; 1] = ["World"];

/// `client.ts`.
pub(super) fn module(exports: &ClientExports<'_>) -> SourceFile {
    let names = names(exports);
    let syntax = |interface| TypeScriptTypes {
        resolve: exports.resolve,
        names: &names,
        within: interface,
    };
    let stubs = source(exports, |function, start| {
        let syntax = syntax(Within::Client);
        let parameters = function.params.iter();
        let parameters: Vec<_> = parameters
            .map(|each| format!("{}: {}", variable(&each.name), syntax.text(&each.ty)))
            .collect();
        let returned = match answer(exports.resolve, function) {
            Some(ty) => syntax.text(ty),
            None => "void".to_owned(),
        };
        let end = format!("): {returned} {{");
        wrapped(&format!("{start}("), &parameters, &end, "", "  ", 116) + "\n"
    });
    let mut text = format!("{}\n", purpose(exports, "// "));
    for (module, name) in names.values() {
        if stubs.contains(&format!("{name}.")) {
            text += &format!("import type * as {name} from '{module}';\n");
        }
    }
    if stubs.contains("World.") {
        text += &format!("import type * as World from '{WORLD}';\n");
    }
    text += "import * as upstream from './upstream.js';\n";
    SourceFile {
        path: "client.ts".to_owned(),
        text: text + &stubs,
    }
}

/// The modules of interfaces, and their names in the client.
pub(super) type InterfaceModules = std::collections::BTreeMap<InterfaceId, (String, String)>;

/// Those of all interfaces of the world.
pub(super) fn names(exports: &ClientExports<'_>) -> InterfaceModules {
    let world = &exports.resolve.worlds[exports.world];
    let mut names = InterfaceModules::new();
    for (key, item) in world.exports.iter().chain(&world.imports) {
        let wit_parser::WorldItem::Interface { id, .. } = item else {
            continue;
        };
        if names.contains_key(id) {
            continue;
        }
        let name = match key {
            wit_parser::WorldKey::Name(name) => Some(name),
            wit_parser::WorldKey::Interface(id) => exports.resolve.interfaces[*id].name.as_ref(),
        };
        let name = name.map_or_else(String::new, |name| name.to_upper_camel_case());
        let taken: Vec<_> = names.values().map(|(_, name)| name.as_str()).collect();
        let name = unlike(unlike(name, &taken), &TAKEN);
        names.insert(*id, (exports.resolve.name_world_key(key), name));
    }
    names
}

/// Where a type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Client,
    /// The declarations of an interface.
    Interface(InterfaceId),
    /// The declarations of the world.
    World,
}

pub(super) struct TypeScriptTypes<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) names: &'a InterfaceModules,
    pub(super) within: Within,
}

impl TypeSyntax for TypeScriptTypes<'_> {
    fn resolve(&self) -> &Resolve {
        self.resolve
    }

    fn simple(&self, ty: Type) -> &'static str {
        match ty {
            Type::Bool => "boolean",
            Type::Char | Type::String => "string",
            Type::ErrorContext => "unknown",
            _ => "number",
        }
    }

    fn named(&self, id: TypeId) -> Option<String> {
        let ty = &self.resolve.types[id];
        let name = ty.name.as_ref()?.to_upper_camel_case();
        let module = match (ty.owner, self.within) {
            (TypeOwner::Interface(owner), Within::Interface(own)) if owner == own => {
                return Some(name);
            }
            (TypeOwner::World(_), Within::World) => return Some(name),
            (TypeOwner::World(_), Within::Client) => return Some(format!("World.{name}")),
            (TypeOwner::World(_), Within::Interface(_)) => WORLD,
            (TypeOwner::Interface(owner), within) => {
                let (module, name_of_module) = self.names.get(&owner)?;
                if within == Within::Client {
                    return Some(format!("{name_of_module}.{name}"));
                }
                module
            }
            (TypeOwner::None, _) => return None,
        };
        Some(format!("import('{module}').{name}"))
    }

    fn bytes(&self) -> String {
        "Uint8Array".to_owned()
    }

    fn list(&self, element: String) -> String {
        if element.contains(" | ") && !element.ends_with(")[]") {
            format!("({element})[]")
        } else {
            format!("{element}[]")
        }
    }

    fn option(&self, inner: String, is_nested: bool) -> String {
        if is_nested {
            format!("{{ tag: 'some'; val: {inner} }} | {{ tag: 'none' }}")
        } else {
            format!("{inner} | null | undefined")
        }
    }

    fn result(&self, ok: Option<String>, err: Option<String>) -> String {
        let of = |tag: &str, ty: Option<String>| match ty {
            Some(ty) => format!("{{ tag: '{tag}'; val: {ty} }}"),
            None => format!("{{ tag: '{tag}' }}"),
        };
        format!("{} | {}", of("ok", ok), of("err", err))
    }

    fn tuple(&self, parts: Vec<String>) -> String {
        format!("[{}]", parts.join(", "))
    }
}
