//! [`ComponentNames`]: what a component imports and exports by its binary alone, without compiling it.

use wasmparser::{Encoding, Parser, Payload};

/// The names of what a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentNames {
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl ComponentNames {
    /// Those of the component in `binary`; `None` if it is a core module or no binary of WebAssembly.
    #[must_use]
    pub fn of(binary: &[u8]) -> Option<Self> {
        let mut names = Self::default();
        // Components and modules within it have names of their own.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(binary) {
            match payload.ok()? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding != Encoding::Component {
                        return None;
                    }
                    depth += 1;
                }
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        names.imports.push(import.ok()?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        names.exports.push(export.ok()?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_built_in_client_are_those_of_its_interfaces() {
        let names = ComponentNames::of(crate::BUILTIN).unwrap();
        let has =
            |names: &[String], prefix: &str| names.iter().any(|name| name.starts_with(prefix));
        assert!(has(&names.exports, "oneflight:client/items@"), "{names:?}");
        assert!(has(&names.imports, "wasi:"), "{names:?}");
        // Those of the modules within it are not among them.
        assert!(!has(&names.exports, "memory"), "{names:?}");
    }

    #[test]
    fn what_is_not_a_component_has_no_names() {
        for binary in [&b"\0asm\x01\0\0\0"[..], b"", b"#!/bin/sh\n"] {
            assert_eq!(ComponentNames::of(binary), None);
        }
        let empty = ComponentNames::of(b"\0asm\x0d\0\x01\0");
        assert_eq!(empty, Some(ComponentNames::default()));
    }
}
