//! Stubs in JavaScript, for componentize-qjs.

use heck::ToLowerCamelCase;
use wit_parser::{Function, Resolve, Type, TypeId};

use super::text::{SourceFile, by_use, comment, purpose, unlike};
use super::type_syntax::{TypeSyntax, can_fail};
use crate::cli::new::exports::ClientExports;

/// The words of JavaScript that no variable of a module can be.
const KEYWORDS: &[&str] = &[
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Names that the stubs use.
const USED: &[&str] = &["response", "upstream", "undefined"];

/// `client.js`.
pub(super) fn module(exports: &ClientExports<'_>) -> SourceFile {
    let text = format!(
        "{}\nimport * as upstream from './upstream.js';\n{}",
        purpose(exports, "// "),
        source(exports, |function, start| {
            let parameters = function.params.iter().map(|each| variable(&each.name));
            let parameters: Vec<_> = parameters.collect();
            let signature = format!("// {}\n", WitTypes(exports.resolve).signature(function));
            format!("{signature}{start}({}) {{\n", parameters.join(", "))
        })
    );
    SourceFile {
        path: "client.js".to_owned(),
        text,
    }
}

/// The exports of a module. `head` writes the first line of a function, whose name and what comes before it is given.
pub(super) fn source(
    exports: &ClientExports<'_>,
    head: impl Fn(&Function, &str) -> String,
) -> String {
    let mut text = String::new();
    let mut renamed = Vec::new();
    let mut own = |name: &str| {
        let exported = name.to_lower_camel_case();
        let own = variable(name);
        if own == exported {
            return ("export ", own);
        }
        renamed.push(format!("{own} as {exported}"));
        ("", own)
    };
    for interface in &exports.interfaces {
        let (export, name) = own(interface.name);
        let functions: Vec<_> = interface
            .functions
            .iter()
            .map(|function| {
                let name = function.name.to_lower_camel_case();
                let stub = stub(exports.resolve, function, &head(function, &name), "},");
                indented(&stub)
            })
            .collect();
        text += &format!("\n{export}const {name} = {{\n{}}};\n", functions.join("\n"));
    }
    for function in &exports.functions {
        let (export, name) = own(&function.name);
        let head = head(function, &format!("{export}function {name}"));
        text += &format!("\n{}", stub(exports.resolve, function, &head, "}"));
    }
    if !renamed.is_empty() {
        text += &format!("\nexport {{ {} }};\n", renamed.join(", "));
    }
    text
}

fn stub(resolve: &Resolve, function: &Function, head: &str, end: &str) -> String {
    let (segments, others) = by_use(resolve, function);
    let name = &function.name;
    let segments: String = segments
        .iter()
        .map(|name| format!(", {}", variable(name)))
        .collect();
    let mut text = comment(&function.docs, "//");
    text += head;
    text += &format!(
        "  // TODO: the path of the request. Each argument that says what is requested is a segment of it.
  const response = upstream.get('{name}'{segments});
"
    );
    if !others.is_empty() {
        let others: Vec<_> = others.into_iter().map(variable).collect();
        text += &format!(
            "  // TODO: these arguments belong to the request as well: {}\n",
            others.join(", ")
        );
    }
    let thrown = if can_fail(resolve, function) {
        ", or throw the value of an error"
    } else {
        ""
    };
    text += &format!(
        "  // TODO: return the answer that the response has{thrown}.
  return upstream.unfinished('{name}', response);
{end}
"
    );
    text
}

/// A name of a variable.
pub(super) fn variable(name: &str) -> String {
    unlike(unlike(name.to_lower_camel_case(), KEYWORDS), USED)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The types as WIT has them.
struct WitTypes<'a>(&'a Resolve);

impl WitTypes<'_> {
    fn signature(&self, function: &Function) -> String {
        let parameters = function.params.iter();
        let parameters: Vec<_> = parameters
            .map(|each| format!("{}: {}", each.name, self.text(&each.ty)))
            .collect();
        let parameters = parameters.join(", ");
        match &function.result {
            Some(ty) => format!("{}: func({parameters}) -> {}", function.name, self.text(ty)),
            None => format!("{}: func({parameters})", function.name),
        }
    }
}

impl TypeSyntax for WitTypes<'_> {
    fn resolve(&self) -> &Resolve {
        self.0
    }

    fn simple(&self, ty: Type) -> &'static str {
        match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext | Type::Id(_) => "",
        }
    }

    fn named(&self, id: TypeId) -> Option<String> {
        self.0.types[id].name.clone()
    }

    fn bytes(&self) -> String {
        self.list("u8".to_owned())
    }

    fn list(&self, element: String) -> String {
        format!("list<{element}>")
    }

    fn option(&self, inner: String, _: bool) -> String {
        format!("option<{inner}>")
    }

    fn result(&self, ok: Option<String>, err: Option<String>) -> String {
        match (ok, err) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{ok}>"),
            (ok, Some(err)) => format!("result<{}, {err}>", ok.as_deref().unwrap_or("_")),
        }
    }

    fn tuple(&self, parts: Vec<String>) -> String {
        format!("tuple<{}>", parts.join(", "))
    }
}
