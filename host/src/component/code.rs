//! Loads compiled code: the only place that makes a component of bytes that wasmtime trusts.
//!
//! Invariant: the only code that is loaded was compiled from the component by this program: in this process, in its
//! child, or earlier by either and then cached in a folder that no other user can write to.

use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

use super::error::LoadError;
use super::error_mapping::exceeds_pool;
use crate::printable::bounded;

/// The component of `code`, which must come from one of the sources that the module's invariant lists.
#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code, and only the caller knows its origin"
)]
pub(super) fn load_code(wasmtime: &Wasmtime, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is the unchanged result of `Engine::precompile_component`: in this process; or in a child that
    // runs the program of `Compile::Child`, which is as trusted as this one, and whose standard output no other
    // process has open; or in either at an earlier time, and then `Cache::get` has read it from a folder and a
    // file that no other user may write to, and has compared its checksum. `deserialize` itself checks that it
    // was compiled by this version of wasmtime, with these settings and for this processor.
    unsafe { Component::deserialize(wasmtime, code) }
}

/// The same, with an error for the one who loads the component.
pub(super) fn deserialize(wasmtime: &Wasmtime, code: &[u8]) -> Result<Component, LoadError> {
    load_code(wasmtime, code).map_err(|error| {
        let why = bounded(format_args!("{error:#}"));
        if exceeds_pool(&error) {
            LoadError::TooLarge(why)
        } else {
            LoadError::NotCompiled(format!("its code cannot be loaded: {why}"))
        }
    })
}
