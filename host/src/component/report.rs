//! [`ComponentReport`]: what a component exports and imports, for a person who reads it.

use serde::Serialize;
use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

/// The size, exports and imports of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// The size of the file, in bytes.
    pub bytes: usize,
    /// The names that it exports.
    pub exports: Vec<String>,
    /// The names that it imports.
    pub imports: Vec<String>,
}

impl ComponentReport {
    /// The report on `component`, whose binary has `bytes` bytes.
    pub(super) fn new(engine: &Wasmtime, component: &Component, bytes: usize) -> Self {
        let ty = component.component_type();
        Self {
            bytes,
            exports: ty
                .exports(engine)
                .map(|(name, _)| name.to_owned())
                .collect(),
            imports: ty
                .imports(engine)
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }
}
