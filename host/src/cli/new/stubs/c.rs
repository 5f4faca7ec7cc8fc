//! Stubs in C: a body for each function that the header of the bindings declares.

use anyhow::{Context, ensure};
use wit_parser::{Function, Resolve, Type, TypeDefKind};

use super::text::{SourceFile, comment, purpose, unlike};
use crate::cli::new::bindings::BindingFile;
use crate::cli::new::exports::ClientExports;

/// The header of the bindings.
const HEADER: &str = "bindings/client.h";

/// The line before the functions of an interface, or of the world, which is followed by its name.
const SECTION: &str = "// Exported Functions from `";

/// `client.c`.
pub(super) fn source(
    exports: &ClientExports<'_>,
    bindings: &[BindingFile],
) -> anyhow::Result<SourceFile> {
    let header = bindings.iter().find(|file| file.path == HEADER);
    let header = header.with_context(|| format!("expected {HEADER}, got none"))?;
    let header = str::from_utf8(&header.bytes)?;
    let mut text = format!(
        "{}\n#include \"bindings/client.h\"\n#include \"upstream.h\"\n",
        purpose(exports, "// ")
    );
    let within = exports.interfaces.iter();
    let within = within.map(|interface| (interface.qualified.as_str(), &interface.functions));
    let sections = [("client", &exports.functions)].into_iter().chain(within);
    for (name, functions) in sections.filter(|(_, functions)| !functions.is_empty()) {
        let declared = declarations(header, name);
        ensure!(
            declared.len() == functions.len(),
            "expected {} functions of {name} in {HEADER}, got {}",
            functions.len(),
            declared.len()
        );
        for (function, line) in functions.iter().zip(declared) {
            text += &stub(exports.resolve, function, line);
        }
    }
    Ok(SourceFile {
        path: "client.c".to_owned(),
        text,
    })
}

/// The declarations of the functions of an interface, without the semicolons.
fn declarations<'a>(header: &'a str, name: &str) -> Vec<&'a str> {
    let section = format!("{SECTION}{name}`\n");
    let rest = header.split_once(&section).map_or("", |(_, rest)| rest);
    let lines = rest.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.strip_suffix(';')).collect()
}

fn stub(resolve: &Resolve, function: &Function, declared: &str) -> String {
    let parameters = declared.split_once('(').map_or("", |(_, rest)| rest);
    let parameters = parameters.trim_end_matches(')').split(", ");
    let names: Vec<_> = parameters
        .map(|each| each.rsplit([' ', '*']).next().unwrap_or_default())
        .collect();
    let (mut segments, mut others) = (String::new(), Vec::new());
    // Those after the parameters are for the result.
    for (parameter, name) in function.params.iter().zip(&names) {
        if is_string(resolve, &parameter.ty) {
            segments += &format!("{name}, ");
        } else {
            others.push(*name);
        }
    }
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(
            "  // TODO: these arguments belong to the request as well: {}\n",
            others.join(", ")
        )
    };
    let reply = unlike("reply".to_owned(), &names);
    format!(
        "\n{docs}{declared} {{
  // TODO: the path of the request. Each argument that says what is requested is a segment of it.
  upstream_reply {reply} = upstream_get(\"{name}\", (const client_string_t *[]){{{segments}NULL}});
{others}  // TODO: take the answer from the response, and free it and the arguments.
  upstream_unfinished(\"{name}\", &{reply});
}}
",
        docs = comment(&function.docs, "//"),
        name = function.name,
    )
}

fn is_string(resolve: &Resolve, ty: &Type) -> bool {
    match ty {
        Type::String => true,
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(ty) => is_string(resolve, ty),
            _ => false,
        },
        _ => false,
    }
}
