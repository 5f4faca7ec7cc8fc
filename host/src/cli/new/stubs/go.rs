//! Stubs in Go: the bindings have functions without a body, which get one.

use anyhow::Context;
use heck::{ToLowerCamelCase, ToSnakeCase, ToUpperCamelCase};
use wit_parser::{Function, Resolve};

use super::text::{SourceFile, by_use, comment, unlike};
use crate::cli::new::bindings::BindingFile;
use crate::cli::new::exports::{ClientExports, ExportedInterface};

/// The words of Go that no name can be, and the names that the stubs use.
const TAKEN: &[&str] = &[
    "break",
    "case",
    "chan",
    "const",
    "continue",
    "default",
    "defer",
    "else",
    "err",
    "fallthrough",
    "for",
    "func",
    "go",
    "goto",
    "if",
    "import",
    "interface",
    "map",
    "package",
    "panic",
    "range",
    "response",
    "return",
    "select",
    "struct",
    "switch",
    "type",
    "upstream",
    "var",
];

/// The packages of the exported interfaces and of the world, in place of those that `bindings` have.
pub(super) fn packages(
    exports: &ClientExports<'_>,
    bindings: &mut Vec<BindingFile>,
) -> anyhow::Result<Vec<SourceFile>> {
    let mut packages: Vec<(String, &str, &[&Function])> = Vec::new();
    for interface in &exports.interfaces {
        let name = package_name(exports.resolve, interface);
        packages.push((name, &interface.qualified, &interface.functions));
    }
    if !exports.functions.is_empty() {
        let name = "export_wit_world".to_owned();
        packages.push((name, "the world of this client", &exports.functions));
    }
    let mut files = Vec::new();
    for (package, described, functions) in packages {
        let path = format!("{package}/wit_bindings.go");
        let place = bindings.iter().position(|file| file.path == path);
        let place = place.with_context(|| format!("expected {path} in the bindings, got none"))?;
        let generated = String::from_utf8(bindings.remove(place).bytes)?;
        let mut text = format!(
            "// Package {package} has the functions of {described}. Sharing, limits and deadlines are the host's.\n\
             package {package}\n\nimport (\n{}\t\"wit_component/upstream\"\n)\n",
            imports(&generated)
        );
        for function in functions {
            let name = function.name.to_upper_camel_case();
            let start = format!("func {name}(");
            let line = generated.lines().find(|line| line.starts_with(&start));
            let line = line.with_context(|| format!("expected {start}...) in {path}, got none"))?;
            text += &stub(exports.resolve, function, line);
        }
        let path = format!("{package}/client.go");
        files.push(SourceFile { path, text });
    }
    Ok(files)
}

/// The name of the package of an exported interface in the bindings.
fn package_name(resolve: &Resolve, interface: &ExportedInterface<'_>) -> String {
    let own = interface.name.to_snake_case();
    let package = resolve.interfaces[interface.id].package;
    let Some(package) = package.filter(|_| interface.qualified.contains('/')) else {
        return format!("export_{own}");
    };
    let name = &resolve.packages[package].name;
    let has_other_versions = resolve.packages.iter().any(|(_, other)| {
        let other = &other.name;
        (&other.namespace, &other.name) == (&name.namespace, &name.name)
            && other.version != name.version
    });
    let version = name.version.as_ref().filter(|_| has_other_versions);
    let version = version.map_or_else(String::new, |version| {
        format!("{}_", version.to_string().replace(['.', '-', '+'], "_"))
    });
    format!(
        "export_{}_{}_{version}{own}",
        name.namespace.to_snake_case(),
        name.name.to_snake_case()
    )
}

/// The lines of the imports of a file.
fn imports(generated: &str) -> String {
    let block = generated
        .split_once("import (")
        .and_then(|(_, rest)| rest.split_once(')'));
    let lines = block.map_or("", |(lines, _)| lines).lines();
    lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("\t{line}\n"))
        .collect()
}

/// `line` is the first one of the function.
fn stub(resolve: &Resolve, function: &Function, line: &str) -> String {
    let parameter = |name: &str| unlike(name.to_lower_camel_case(), TAKEN);
    let mut head = line.trim_end().trim_end_matches('{').trim_end().to_owned();
    // They begin with `_`, as if they were not used.
    for each in &function.params {
        let given = each.name.to_lower_camel_case();
        for before in ["(", ", "] {
            let (from, to) = (
                format!("{before}_{given} "),
                format!("{before}{} ", parameter(&given)),
            );
            head = head.replacen(&from, &to, 1);
        }
    }
    let (segments, others) = by_use(resolve, function);
    let segments: String = segments
        .iter()
        .map(|name| format!(", {}", parameter(name)))
        .collect();
    let others: Vec<_> = others.into_iter().map(parameter).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(
            "\t// TODO: these arguments belong to the request as well: {}\n",
            others.join(", ")
        )
    };
    format!(
        "\n{docs}{head} {{
\t// TODO: the path of the request. Each argument that says what is requested is a segment of it.
\tresponse, err := upstream.Get(\"{name}\"{segments})
{others}\t// TODO: return the answer that the response has.
\tpanic(upstream.Unfinished(\"{name}\", response, err))
}}
",
        docs = comment(&function.docs, "//"),
        name = function.name,
    )
}
