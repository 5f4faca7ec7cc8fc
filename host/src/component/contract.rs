//! What a component exports that can be called, and how the host calls it: the interface `items` by static bindings,
//! and any other function by its types.

pub(super) mod exports;
pub(super) mod items;
pub(super) mod outcome;
pub(super) mod typed;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "items-client",
        exports: { default: async },
    });
}
