//! Stubs in Rust.

use heck::{ToSnakeCase, ToUpperCamelCase};
use wit_bindgen_core::name_package_module;
use wit_parser::{Function, InterfaceId, Resolve, Type, TypeId, TypeOwner};

use super::text::{SourceFile, by_use, comment, purpose, unlike, wrapped};
use super::type_syntax::TypeSyntax;
use crate::cli::new::exports::{ClientExports, ExportedInterface};

/// The words of Rust that no name can be.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if", "impl", "in",
    "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The modules of `src/lib.rs`.
const MODULES: [&str; 2] = ["bindings", "upstream"];

/// `src/lib.rs`.
pub(super) fn library(exports: &ClientExports<'_>) -> SourceFile {
    let mut text = purpose(exports, "//! ") + "\n";
    let names = module_names(exports);
    for (interface, name) in exports.interfaces.iter().zip(&names) {
        let path = module_path(exports.resolve, interface);
        let own = path.rsplit("::").next();
        text += &if own == Some(name.as_str()) {
            format!("use bindings::exports::{path};\n")
        } else {
            format!("use bindings::exports::{path} as {name};\n")
        };
    }
    text += "
mod upstream;

mod bindings {
    wit_bindgen::generate!({ path: \"wit\", world: \"client\", generate_all });
    export!(Client with_types_in self);
    use super::Client;
}

struct Client;
";
    for (interface, name) in exports.interfaces.iter().zip(&names) {
        text += &implementation(exports, Some(interface.id), name, &interface.functions);
    }
    if !exports.functions.is_empty() {
        text += &implementation(exports, None, "bindings", &exports.functions);
    }
    SourceFile {
        path: "src/lib.rs".to_owned(),
        text,
    }
}

/// The name of the module of each interface in the file.
fn module_names(exports: &ClientExports<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for interface in &exports.interfaces {
        let taken: Vec<&str> = names.iter().map(String::as_str).chain(MODULES).collect();
        names.push(unlike(identifier(interface.name), &taken));
    }
    names
}

/// The path of the module of an exported interface in the bindings.
fn module_path(resolve: &Resolve, interface: &ExportedInterface<'_>) -> String {
    let package = resolve.interfaces[interface.id].package;
    match package {
        Some(package) if interface.qualified.contains('/') => format!(
            "{}::{}::{}",
            identifier(&resolve.packages[package].name.namespace),
            identifier(&name_package_module(resolve, package)),
            identifier(interface.name)
        ),
        _ => identifier(interface.name),
    }
}

fn implementation(
    exports: &ClientExports<'_>,
    interface: Option<InterfaceId>,
    module: &str,
    functions: &[&Function],
) -> String {
    let syntax = RustTypes {
        resolve: exports.resolve,
        interface,
        module,
    };
    let stubs: Vec<_> = functions
        .iter()
        .map(|function| stub(&syntax, function))
        .collect();
    format!(
        "\nimpl {module}::Guest for Client {{\n{}}}\n",
        stubs.join("\n")
    )
}

fn stub(syntax: &RustTypes<'_>, function: &Function) -> String {
    let parameter = |name: &str| unlike(identifier(name), &["response"]);
    let parameters: Vec<_> = function
        .params
        .iter()
        .map(|each| format!("{}: {}", parameter(&each.name), syntax.text(&each.ty)))
        .collect();
    let end = match &function.result {
        Some(ty) => format!(") -> {} {{", syntax.text(ty)),
        None => ") {".to_owned(),
    };
    let start = format!("fn {}(", identifier(&function.name));
    let (segments, others) = by_use(syntax.resolve, function);
    let segments = segments
        .iter()
        .map(|name| format!(", &{}", parameter(name)));
    let mut text = comment(&function.docs, "    ///");
    text += &wrapped(&start, &parameters, &end, "    ", "    ", 100);
    text += &format!(
        "
        // TODO: the path of the request. Each argument that says what is requested is a segment of it.
        let response = upstream::get(&[&\"{}\"{}]);
",
        function.name,
        segments.collect::<String>()
    );
    if !others.is_empty() {
        let others: Vec<_> = others.into_iter().map(parameter).collect();
        let others = match &others[..] {
            [only] => only.clone(),
            others => format!("({})", others.join(", ")),
        };
        text += &format!(
            "        // TODO: these arguments belong to the request as well.\n        let _ = {others};\n"
        );
    }
    text += &format!(
        "        // TODO: return the answer that the response has.
        upstream::unfinished(\"{}\", response)
    }}
",
        function.name
    );
    text
}

/// A name as the bindings have it.
fn identifier(name: &str) -> String {
    unlike(name.to_snake_case(), KEYWORDS)
}

/// The types of an interface, or of the world.
struct RustTypes<'a> {
    resolve: &'a Resolve,
    interface: Option<InterfaceId>,
    module: &'a str,
}

impl TypeSyntax for RustTypes<'_> {
    fn resolve(&self) -> &Resolve {
        self.resolve
    }

    fn simple(&self, ty: Type) -> &'static str {
        match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "i8",
            Type::S16 => "i16",
            Type::S32 => "i32",
            Type::S64 => "i64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "String",
            Type::ErrorContext | Type::Id(_) => "",
        }
    }

    fn named(&self, id: TypeId) -> Option<String> {
        let ty = &self.resolve.types[id];
        let name = ty.name.as_ref()?.to_upper_camel_case();
        // Those that another interface has are there by the same name.
        let is_own = match (ty.owner, self.interface) {
            (TypeOwner::Interface(owner), Some(own)) => owner == own,
            (TypeOwner::World(_), None) => true,
            _ => false,
        };
        let name = unlike(name, &["Guest"]);
        is_own.then(|| format!("{}::{name}", self.module))
    }

    fn bytes(&self) -> String {
        "Vec<u8>".to_owned()
    }

    fn list(&self, element: String) -> String {
        format!("Vec<{element}>")
    }

    fn option(&self, inner: String, _: bool) -> String {
        format!("Option<{inner}>")
    }

    fn result(&self, ok: Option<String>, err: Option<String>) -> String {
        let of = |ty: Option<String>| ty.unwrap_or_else(|| "()".to_owned());
        format!("Result<{}, {}>", of(ok), of(err))
    }

    fn tuple(&self, parts: Vec<String>) -> String {
        match &parts[..] {
            [only] => format!("({only},)"),
            parts => format!("({})", parts.join(", ")),
        }
    }
}
