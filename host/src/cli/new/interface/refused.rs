//! What a client cannot export or import.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use oneflight::Wit;
use wit_parser::{Function, InterfaceId, Resolve, Type, TypeDefKind, WorldItem};

use crate::cli::new::exports::{ClientExports, ExportedInterface};
use crate::cli::new::language::Language;

/// How many reasons are stated.
const MAX_REASONS: usize = 8;

/// The packages of WASI that the host provides.
const PROVIDED: [&str; 7] = [
    "cli",
    "clocks",
    "filesystem",
    "http",
    "io",
    "random",
    "sockets",
];

/// Refuses what the host cannot call or provide, and what the toolchain of `language` cannot build. `given` is what was
/// given, `described` its name, and `wit` what became of it.
pub(super) fn check(
    given: &Wit,
    wit: &Wit,
    exports: &ClientExports<'_>,
    described: &str,
    language: Language,
) -> anyhow::Result<()> {
    let mut functions: Vec<(Option<&ExportedInterface<'_>>, &Function)> = Vec::new();
    for exported in &exports.interfaces {
        let within = exported.functions.iter();
        functions.extend(within.map(|function| (Some(exported), *function)));
    }
    functions.extend(exports.functions.iter().map(|function| (None, *function)));
    ensure!(
        !functions.is_empty(),
        "expected functions to export in {described}, got none; add one, or name another world with --world"
    );
    let is_plain = functions.iter().all(|(interface, function)| {
        interface.is_some_and(|interface| interface.has_items(function))
    });
    ensure!(
        !is_plain,
        "expected functions other than get-items in {described}, got none; leave --interface out to make a client of items"
    );
    let resolve = exports.resolve;
    let mut reasons = Vec::new();
    for (interface_of, function) in functions {
        let called = wit.example_arguments(function).err();
        let reason = called.or_else(|| not_in(language, resolve, function));
        if let Some(reason) = reason {
            let name = match interface_of {
                Some(interface) => format!("{}#{}", interface.qualified, function.name),
                None => function.name.clone(),
            };
            reasons.push(format!("{name}: {reason}"));
        }
    }
    let mut names = BTreeSet::new();
    for exported in &exports.interfaces {
        if let Some(resource) = resource_of(resolve, exported.id) {
            reasons.push(format!(
                "{}: it has the resource {resource}",
                exported.qualified
            ));
        }
        if !names.insert(exported.name) && !language.has_interfaces_of_one_name() {
            let name = exported.name;
            reasons.push(format!(
                "{}: there is another interface {name}, and the toolchain for {language} has one of each name",
                exported.qualified
            ));
        }
    }
    reasons.extend(imports_without_provider(exports));
    match language {
        Language::Rust => reasons.extend(names_like_self(resolve)),
        Language::Python => reasons.extend(comments_that_are_no_text(given)),
        Language::Js | Language::Ts | Language::Go | Language::C => {}
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let left_out = reasons.len().saturating_sub(MAX_REASONS);
    reasons.truncate(MAX_REASONS);
    if left_out > 0 {
        reasons.push(format!("and {left_out} more"));
    }
    bail!(
        "could not make a client in {language} of {described}:\n  {}\nleave it out or change it",
        reasons.join("\n  ")
    )
}

/// The first resource of an interface.
fn resource_of(resolve: &Resolve, interface: InterfaceId) -> Option<&str> {
    let mut types = resolve.interfaces[interface].types.iter();
    let (name, _) =
        types.find(|(_, id)| matches!(resolve.types[**id].kind, TypeDefKind::Resource))?;
    Some(name)
}

/// The imports that no host of a client has.
fn imports_without_provider(exports: &ClientExports<'_>) -> Vec<String> {
    let (resolve, world) = (exports.resolve, exports.world);
    let mut reasons = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let name = resolve.name_world_key(key);
        let is_provided = match item {
            WorldItem::Type { .. } => true,
            WorldItem::Function(_) => false,
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                let package = interface.package.map(|id| &resolve.packages[id].name);
                interface.functions.is_empty()
                    || package.is_some_and(|package| {
                        (package.namespace == "wasi" && PROVIDED.contains(&package.name.as_str()))
                            || (package.namespace == "oneflight" && package.name == "client")
                    })
            }
        };
        if !is_provided {
            reasons.push(format!(
                "{name}, which it imports: the host provides oneflight:client/fetch and WASI"
            ));
        }
    }
    reasons
}

/// The types with a name, or with a case whose name, would be `Self` in Rust.
fn names_like_self(resolve: &Resolve) -> Vec<String> {
    let mut reasons = Vec::new();
    for (_, ty) in &resolve.types {
        let Some(name) = &ty.name else { continue };
        let is_self = match &ty.kind {
            TypeDefKind::Variant(of) => of.cases.iter().any(|case| case.name == "self"),
            TypeDefKind::Enum(of) => of.cases.iter().any(|case| case.name == "self"),
            _ => false,
        };
        if name == "self" {
            reasons.push("the type self: it has a name that wit-bindgen cannot build".to_owned());
        } else if is_self {
            reasons.push(format!(
                "the type {name}: it has the case self, which wit-bindgen cannot build"
            ));
        }
    }
    reasons
}

/// The comments that componentize-py makes a syntax error of: it puts them between three quotes as they are.
fn comments_that_are_no_text(given: &Wit) -> Vec<String> {
    let mut reasons = Vec::new();
    for file in given.packages().flat_map(|(_, files)| files) {
        for (number, line) in file.text.lines().enumerate() {
            let mark = ["\"\"\"", "\\u", "\\U", "\\N", "\\x"]
                .into_iter()
                .find(|mark| line.contains(mark));
            let Some(mark) = mark.filter(|_| line.contains("/*") || line.contains("//")) else {
                continue;
            };
            reasons.push(format!(
                "{}:{}: its comment has {mark}, which componentize-py cannot build",
                file.name,
                number + 1
            ));
        }
    }
    reasons
}

/// Why the toolchain of a language cannot build a function.
fn not_in(language: Language, resolve: &Resolve, function: &Function) -> Option<String> {
    if language == Language::Python
        && let Some(parameter) = function.params.iter().find(|each| each.name == "self")
    {
        let name = &parameter.name;
        return Some(format!(
            "its parameter {name} has a name that componentize-py cannot build"
        ));
    }
    let parameters = function.params.iter().map(|parameter| &parameter.ty);
    parameters
        .chain(&function.result)
        .find_map(|ty| rare(resolve, ty))
        .map(str::to_owned)
}

/// A part of a type that the toolchains do not have, and what to use instead.
fn rare(resolve: &Resolve, ty: &Type) -> Option<&'static str> {
    let Type::Id(id) = ty else { return None };
    let of = |ty: &Option<Type>| ty.as_ref().and_then(|ty| rare(resolve, ty));
    match &resolve.types[*id].kind {
        TypeDefKind::Map(..) => Some("not all toolchains have maps; use list<tuple<key, value>>"),
        TypeDefKind::FixedLengthList(..) => {
            Some("not all toolchains have lists of a fixed length; use a list without one")
        }
        TypeDefKind::Type(ty) | TypeDefKind::List(ty) | TypeDefKind::Option(ty) => {
            rare(resolve, ty)
        }
        TypeDefKind::Result(result) => of(&result.ok).or_else(|| of(&result.err)),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(|ty| rare(resolve, ty)),
        TypeDefKind::Record(record) => record
            .fields
            .iter()
            .find_map(|field| rare(resolve, &field.ty)),
        TypeDefKind::Variant(variant) => variant.cases.iter().find_map(|case| of(&case.ty)),
        _ => None,
    }
}
