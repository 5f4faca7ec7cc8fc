//! [`EmbeddedDocs`]: the comments that a component carries in its custom section `package-docs`.
//!
//! The section has the comments of a package by the names in it. A component's types have no names, so only the comments
//! of functions are used.

use serde_json::Value;
use wasmparser::{Chunk, Parser, Payload};

use super::types::DocsBudget;
use crate::typed::FunctionDocs;

const SECTION: &str = "package-docs";

/// The maximum size of the section, in bytes. A larger one is ignored.
const MAX_SECTION_BYTES: usize = 256 << 10;

/// The comments that a component carries.
#[derive(Debug)]
pub(crate) struct EmbeddedDocs(Value);

/// The comments that the component in `binary` carries, if it carries any that can be read. Nested components and modules
/// are not searched.
pub(crate) fn embedded_docs(binary: &[u8]) -> Option<EmbeddedDocs> {
    let section = section(binary)?;
    let docs = match section {
        // The version, and a document in JSON.
        [0 | 1, json @ ..] if section.len() <= MAX_SECTION_BYTES => {
            serde_json::from_slice(json).ok()
        }
        _ => None,
    };
    if docs.is_none() {
        tracing::warn!(
            bytes = section.len(),
            "the component's section package-docs cannot be read, or has more than 256 KiB; it is ignored"
        );
    }
    docs.map(EmbeddedDocs)
}

fn section(mut rest: &[u8]) -> Option<&[u8]> {
    let mut parser = Parser::new(0);
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else {
            return None;
        };
        rest = rest.get(consumed..)?;
        match payload {
            Payload::CustomSection(section) if section.name() == SECTION => {
                return Some(section.data());
            }
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => rest = rest.get(unchecked_range.len()..)?,
            Payload::End(_) => return None,
            _ => {}
        }
    }
}

impl EmbeddedDocs {
    /// The comments of functions, in their order.
    pub(crate) fn docs_of<'a>(
        &self,
        functions: impl Iterator<Item = (Option<&'a str>, &'a str)>,
    ) -> Vec<FunctionDocs> {
        let mut budget = DocsBudget::default();
        let docs = |(interface, name)| FunctionDocs {
            text: budget.text(self.text(interface, name)),
            ..FunctionDocs::default()
        };
        functions.map(docs).collect()
    }

    fn text(&self, interface: Option<&str>, name: &str) -> Option<&str> {
        let worlds = self.0["worlds"].as_object().into_iter().flatten();
        let mut worlds = worlds.map(|(_, world)| world);
        match interface {
            None => worlds.find_map(|world| {
                let exported = text_of(&world["func_exports"][name]);
                exported.or_else(|| text_of(&world["funcs"][name]))
            }),
            Some(interface) => {
                let within = worlds.find_map(|world| {
                    let exported = text_of(&world["interface_exports"][interface]["funcs"][name]);
                    exported.or_else(|| text_of(&world["interfaces"][interface]["funcs"][name]))
                });
                // The package's own interfaces have the last part of their name.
                let own = interface
                    .split('@')
                    .next()
                    .and_then(|name| name.rsplit('/').next());
                within.or_else(|| text_of(&self.0["interfaces"][own?]["funcs"][name]))
            }
        }
    }
}

/// The comment of a function: version 0 of the section has a string, version 1 an object.
fn text_of(function: &Value) -> Option<&str> {
    function.as_str().or_else(|| function["docs"].as_str())
}
