//! The interfaces that a client can export, and how the host calls them.

pub(super) mod items;
mod signature;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "items-client",
        exports: { default: async },
    });
}
