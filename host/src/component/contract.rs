//! What a component exports that can be called, and how the host calls it: the interface `items` by static bindings,
//! and any other function by its types. And the types of what it may import, beside those of WASI.

pub(super) mod exports;
pub(super) mod items;
pub(super) mod outcome;
pub(super) mod typed;

/// The types of the interface `oneflight:client/fetch`.
pub(super) mod fetch {
    pub(in crate::component) use super::bindings::oneflight::client::fetch::{
        Body as FetchBody, FetchError, Request as FetchRequest, Response as FetchResponse,
    };
}

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "items-client",
        exports: { default: async },
    });
}
