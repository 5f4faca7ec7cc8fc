//! The refusal of a component that wasmtime does not compile: names the features of WebAssembly that it needs and the
//! engine does not have.
//!
//! The component is validated with one feature less each time, so the names do not depend on the texts of errors.
//! That takes time in proportion to its size for each feature, in the process that has compiled it.

use wasmparser::{Validator, WasmFeatures};
use wasmtime::Engine as Wasmtime;

use crate::component::error::LoadError;
use crate::printable::bounded;

/// The features that a toolchain may use, as the proposals call them. Those that the engine has are not missing.
const FEATURES: [(&str, WasmFeatures); 21] = [
    ("tail calls", WasmFeatures::TAIL_CALL),
    ("threads", WasmFeatures::THREADS),
    (
        "shared-everything threads",
        WasmFeatures::SHARED_EVERYTHING_THREADS,
    ),
    ("garbage collection", GARBAGE_COLLECTION),
    ("exceptions", WasmFeatures::EXCEPTIONS),
    ("legacy exceptions", WasmFeatures::LEGACY_EXCEPTIONS),
    ("memory64", WasmFeatures::MEMORY64),
    ("relaxed SIMD", WasmFeatures::RELAXED_SIMD),
    ("custom page sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("stack switching", WasmFeatures::STACK_SWITCHING),
    ("memory control", WasmFeatures::MEMORY_CONTROL),
    ("custom descriptors", WasmFeatures::CUSTOM_DESCRIPTORS),
    ("component-model async", COMPONENT_ASYNC),
    ("component-model threading", WasmFeatures::CM_THREADING),
    (
        "component-model error contexts",
        WasmFeatures::CM_ERROR_CONTEXT,
    ),
    (
        "component-model lists of fixed length",
        WasmFeatures::CM_FIXED_LENGTH_LISTS,
    ),
    ("component-model garbage collection", WasmFeatures::CM_GC),
    ("component-model maps", WasmFeatures::CM_MAP),
    ("component-model memory64", WasmFeatures::CM64),
    ("component-model values", WasmFeatures::CM_VALUES),
];

const GARBAGE_COLLECTION: WasmFeatures = WasmFeatures::GC
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::FUNCTION_REFERENCES);

const COMPONENT_ASYNC: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS);

/// The error of `binary`, which `engine` has not compiled because of `error`.
pub(super) fn refusal(engine: &Wasmtime, binary: &[u8], error: &wasmtime::Error) -> LoadError {
    match missing(engine, binary) {
        names if names.is_empty() => LoadError::Invalid(bounded(format_args!("{error:#}"))),
        names => LoadError::MissingFeatures(names.join(", ")),
    }
}

/// The names of the features that `binary` needs; none if it is not valid with all of them either.
fn missing(engine: &Wasmtime, binary: &[u8]) -> Vec<&'static str> {
    let is_valid = |features| {
        let mut validator = Validator::new_with_features(features);
        validator.validate_all(binary).is_ok()
    };
    let ours = engine.get_wasm_features();
    let all = FEATURES
        .iter()
        .fold(ours, |all, (_, feature)| all.union(*feature));
    if !is_valid(all) {
        return Vec::new();
    }
    let needed = FEATURES.iter().filter(|(_, feature)| {
        let lacking = feature.difference(ours);
        !lacking.is_empty() && !is_valid(all.difference(lacking))
    });
    needed.map(|(name, _)| *name).collect()
}
