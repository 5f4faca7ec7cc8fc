//! The source of a new client with functions of its own: a stub for each.
//!
//! A stub sends a request to the upstream, and then ends with an error that says what is missing. Which request it is, and
//! what its response means, is for the author of the client.

mod c;
mod go;
mod javascript;
mod python;
mod rust;
mod text;
mod type_syntax;
mod typescript;
mod typescript_types;

use self::text::SourceFile;
use super::bindings::BindingFile;
use super::exports::ClientExports;
use super::language::Language;

/// The files with the stubs. `bindings` are those of the languages that have them as files.
pub(super) fn files(
    language: Language,
    exports: &ClientExports<'_>,
    bindings: &mut Vec<BindingFile>,
) -> anyhow::Result<Vec<SourceFile>> {
    match language {
        Language::Rust => Ok(vec![rust::library(exports)]),
        Language::Js => Ok(vec![javascript::module(exports)]),
        Language::Ts => Ok(vec![
            typescript::module(exports),
            typescript_types::declarations(exports),
        ]),
        Language::Python => Ok(vec![python::module(exports)]),
        Language::Go => go::packages(exports, bindings),
        Language::C => Ok(vec![c::source(exports, bindings)?]),
    }
}
