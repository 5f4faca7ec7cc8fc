//! `types.d.ts`: the interfaces of a client in TypeScript, as componentize-qjs has them.

use std::fmt::Write as _;

use heck::{ToLowerCamelCase, ToUpperCamelCase};
use wit_parser::{Function, FunctionKind, TypeDefKind, TypeId, WorldItem, WorldKey};

use super::javascript::variable;
use super::text::{SourceFile, comment};
use super::type_syntax::{TypeSyntax, answer};
use super::typescript::{TypeScriptTypes, WORLD, Within, names};
use crate::cli::new::exports::ClientExports;

/// Parts of JavaScript that the engine has and TypeScript does not know yet.
const ENGINE: &str = "
// Parts of JavaScript that the engine has and TypeScript does not know yet.
interface JSON {
  parse(text: string, reviver: (key: string, value: unknown, context: { source: string }) => unknown): unknown;
  rawJSON(text: string): { rawJSON: string };
  isRawJSON(value: unknown): value is { rawJSON: string };
}
";

/// The declarations of what the client imports and exports.
pub(super) fn declarations(exports: &ClientExports<'_>) -> SourceFile {
    let resolve = exports.resolve;
    let names = names(exports);
    let mut text =
        "// The interfaces that the client imports and exports, as `wit/` has them, in TypeScript.\n"
            .to_owned();
    let world = &resolve.worlds[exports.world];
    let is_exported = |key: &WorldKey| world.exports.contains_key(key);
    for (id, (module, _)) in &names {
        let syntax = TypeScriptTypes {
            resolve,
            names: &names,
            within: Within::Interface(*id),
        };
        let interface = &resolve.interfaces[*id];
        let types = interface.types.values().copied();
        // What a client exports is a value of its own module.
        let key = world.imports.iter().find_map(|(key, item)| {
            matches!(item, WorldItem::Interface { id: imported, .. } if imported == id)
                .then_some(key)
        });
        let functions = match key {
            Some(key) if !is_exported(key) => {
                let functions = interface.functions.values();
                functions
                    .filter(|function| function.kind == FunctionKind::Freestanding)
                    .collect()
            }
            _ => Vec::new(),
        };
        text += &declared(&syntax, module, types, &functions);
    }
    let own = world.imports.values().filter_map(|item| match item {
        WorldItem::Type { id, .. } => Some(*id),
        _ => None,
    });
    let syntax = TypeScriptTypes {
        resolve,
        names: &names,
        within: Within::World,
    };
    text += &declared(&syntax, WORLD, own, &[]);
    SourceFile {
        path: "types.d.ts".to_owned(),
        text: text + ENGINE,
    }
}

fn declared(
    syntax: &TypeScriptTypes<'_>,
    module: &str,
    types: impl Iterator<Item = TypeId>,
    functions: &[&Function],
) -> String {
    let mut parts: Vec<String> = types.filter_map(|id| definition(syntax, id)).collect();
    parts.extend(functions.iter().map(|function| imported(syntax, function)));
    if parts.is_empty() {
        return String::new();
    }
    let lines = parts.join("\n");
    let lines: String = lines
        .lines()
        .map(|line| format!("  {line}").trim_end().to_owned() + "\n")
        .collect();
    format!("\ndeclare module '{module}' {{\n{lines}}}\n")
}

fn definition(syntax: &TypeScriptTypes<'_>, id: TypeId) -> Option<String> {
    let ty = &syntax.resolve().types[id];
    let name = ty.name.as_ref()?.to_upper_camel_case();
    let mut text = comment(&ty.docs, "//");
    match &ty.kind {
        TypeDefKind::Record(record) => {
            let _ = writeln!(text, "export interface {name} {{");
            for field in &record.fields {
                text += &comment(&field.docs, "  //");
                let (name, ty) = (field.name.to_lower_camel_case(), syntax.text(&field.ty));
                let _ = writeln!(text, "  {name}: {ty};");
            }
            text += "}\n";
        }
        TypeDefKind::Variant(variant) => {
            let _ = write!(text, "export type {name} =");
            for case in &variant.cases {
                let _ = match &case.ty {
                    Some(ty) => {
                        let ty = syntax.text(ty);
                        write!(text, "\n  | {{ tag: '{}'; val: {ty} }}", case.name)
                    }
                    None => write!(text, "\n  | {{ tag: '{}' }}", case.name),
                };
            }
            text += ";\n";
        }
        TypeDefKind::Enum(of) => {
            let names: Vec<_> = of
                .cases
                .iter()
                .map(|case| format!("'{}'", case.name))
                .collect();
            let _ = writeln!(text, "export type {name} = {};", names.join(" | "));
        }
        TypeDefKind::Flags(of) => {
            let _ = writeln!(text, "export interface {name} {{");
            for flag in &of.flags {
                text += &comment(&flag.docs, "  //");
                let _ = writeln!(text, "  {}?: boolean;", flag.name.to_lower_camel_case());
            }
            text += "}\n";
        }
        // A client gets it from WASI's interfaces, and uses none of them.
        TypeDefKind::Resource => {
            let _ = writeln!(text, "export type {name} = unknown;");
        }
        _ => {
            let _ = writeln!(text, "export type {name} = {};", syntax.expanded(id));
        }
    }
    Some(text)
}

fn imported(syntax: &TypeScriptTypes<'_>, function: &Function) -> String {
    let parameters = function.params.iter().map(|each| {
        let name = variable(&each.name);
        format!("{name}: {}", syntax.text(&each.ty))
    });
    let parameters: Vec<_> = parameters.collect();
    let returned = match answer(syntax.resolve(), function) {
        Some(ty) => syntax.text(ty),
        None => "void".to_owned(),
    };
    let name = function.name.to_lower_camel_case();
    format!(
        "{}export function {name}({}): {returned};\n",
        comment(&function.docs, "//"),
        parameters.join(", ")
    )
}
