//! Stubs in Python, for componentize-py.

use std::collections::BTreeSet;

use heck::{ToSnakeCase, ToUpperCamelCase};
use wit_parser::{Function, Resolve, Type, TypeId, TypeOwner, WorldItem};

use super::text::{SourceFile, by_use, comment, purpose, unlike, wrapped};
use super::type_syntax::{TypeSyntax, answer, can_fail, has_parts, original};
use crate::cli::new::exports::ClientExports;

/// The words of Python that no name can be.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// `client.py`.
pub(super) fn module(exports: &ClientExports<'_>) -> SourceFile {
    let mut classes = String::new();
    let syntax = PythonTypes { exports };
    for interface in &exports.interfaces {
        let name = unlike(interface.name.to_upper_camel_case(), KEYWORDS);
        classes += &format!("\n\nclass {name}(wit_world.exports.{name}):\n");
        classes += &methods(&syntax, &interface.functions);
    }
    if !exports.functions.is_empty() {
        classes += "\n\nclass WitWorld(wit_world.WitWorld):\n";
        classes += &methods(&syntax, &exports.functions);
    }
    let mut modules = BTreeSet::new();
    for word in ["wit_world.imports.", "wit_world.exports."] {
        for (start, _) in classes.match_indices(word) {
            let rest = &classes[start + word.len()..];
            let module = rest.split_once('.').map(|(module, _)| module);
            let module = module.filter(|name| {
                name.chars()
                    .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_')
            });
            modules.extend(module.map(|module| format!("import {word}{module}\n")));
        }
    }
    let types: Vec<_> = ["Result", "Some"]
        .into_iter()
        .filter(|name| classes.contains(&format!("{name}[")))
        .collect();
    let mut text = format!(
        "{}\nfrom __future__ import annotations\n\n",
        purpose(exports, "# ")
    );
    if !types.is_empty() {
        text += &format!("from componentize_py_types import {}\n\n", types.join(", "));
    }
    text += "import upstream\nimport wit_world\nimport wit_world.exports\n";
    text.extend(modules);
    SourceFile {
        path: "client.py".to_owned(),
        text: text + &classes,
    }
}

fn methods(syntax: &PythonTypes<'_>, functions: &[&Function]) -> String {
    let methods: Vec<_> = functions
        .iter()
        .map(|function| method(syntax, function))
        .collect();
    methods.join("\n")
}

fn method(syntax: &PythonTypes<'_>, function: &Function) -> String {
    let resolve = syntax.resolve();
    let parameter = |name: &str| unlike(identifier(name), &["response", "upstream", "wit_world"]);
    let mut parameters = vec!["self".to_owned()];
    parameters.extend(
        function
            .params
            .iter()
            .map(|each| format!("{}: {}", parameter(&each.name), syntax.text(&each.ty))),
    );
    let returned = answer(resolve, function).map_or("None".to_owned(), |ty| syntax.text(ty));
    let start = format!("def {}(", identifier(&function.name));
    let end = format!(") -> {returned}:");
    let (segments, others) = by_use(resolve, function);
    let segments: String = segments
        .iter()
        .map(|name| format!(", {}", parameter(name)))
        .collect();
    let mut text = comment(&function.docs, "    #");
    text += &wrapped(&start, &parameters, &end, "    ", "    ", 120);
    text += &format!(
        "
        # TODO: the path of the request. Each argument that says what is requested is a segment of it.
        response = upstream.get(\"{name}\"{segments})
{others}        # TODO: return the answer that the response has{errors}.
        upstream.unfinished(\"{name}\", response)
",
        name = function.name,
        others = if others.is_empty() {
            String::new()
        } else {
            let others: Vec<_> = others.into_iter().map(parameter).collect();
            format!(
                "        # TODO: these arguments belong to the request as well: {}\n",
                others.join(", ")
            )
        },
        errors = if can_fail(resolve, function) {
            ", or raise componentize_py_types.Err(...)"
        } else {
            ""
        }
    );
    text
}

/// A name as the bindings have it.
fn identifier(name: &str) -> String {
    unlike(name.to_snake_case(), KEYWORDS)
}

struct PythonTypes<'a> {
    exports: &'a ClientExports<'a>,
}

impl TypeSyntax for PythonTypes<'_> {
    fn resolve(&self) -> &Resolve {
        self.exports.resolve
    }

    fn simple(&self, ty: Type) -> &'static str {
        match ty {
            Type::Bool => "bool",
            Type::F32 | Type::F64 => "float",
            Type::Char | Type::String => "str",
            _ => "int",
        }
    }

    /// An alias is what it stands for.
    fn named(&self, id: TypeId) -> Option<String> {
        let id = original(self.resolve(), id);
        let ty = &self.resolve().types[id];
        if !has_parts(&ty.kind) {
            return None;
        }
        let name = unlike(ty.name.as_ref()?.to_upper_camel_case(), KEYWORDS);
        let TypeOwner::Interface(owner) = ty.owner else {
            return Some(format!("wit_world.{name}"));
        };
        let world = &self.resolve().worlds[self.exports.world];
        let is_exported = world
            .exports
            .values()
            .any(|item| matches!(item, WorldItem::Interface { id, .. } if *id == owner));
        let of = if is_exported { "exports" } else { "imports" };
        // An interface that the world names has no name of its own.
        let module = self.resolve().interfaces[owner].name.as_deref();
        let module = module.or_else(|| {
            let mut interfaces = self.exports.interfaces.iter();
            Some(interfaces.find(|interface| interface.id == owner)?.name)
        })?;
        Some(format!("wit_world.{of}.{}.{name}", identifier(module)))
    }

    fn bytes(&self) -> String {
        "bytes".to_owned()
    }

    fn list(&self, element: String) -> String {
        format!("list[{element}]")
    }

    fn option(&self, inner: String, is_nested: bool) -> String {
        if is_nested {
            format!("Some[{inner}] | None")
        } else {
            format!("{inner} | None")
        }
    }

    fn result(&self, ok: Option<String>, err: Option<String>) -> String {
        let of = |ty: Option<String>| ty.unwrap_or_else(|| "None".to_owned());
        format!("Result[{}, {}]", of(ok), of(err))
    }

    fn tuple(&self, parts: Vec<String>) -> String {
        format!("tuple[{}]", parts.join(", "))
    }
}
