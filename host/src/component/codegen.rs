//! The part of wasmtime's configuration that compiled code depends on.
//!
//! It is a separate module because two processes use it: the engine, and the child process that compiles for it. Code
//! that was compiled with another configuration is refused when it is loaded.

use wasmtime::Config;

/// All of the configuration that compiled code depends on.
pub(super) fn codegen_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Guests of WASI 0.2 export synchronous functions, and calling those costs a quarter without it.
        .concurrency_support(false)
        // Features that guests do not need are off: they would only add attack surface. Several memories
        // stay on: wasmtime's own adapters between the components of a component use two. So do tail calls, which
        // small builds of QuickJS have: all functions have the calling convention of tail calls anyway, and each
        // checks the epoch when it is entered, so an endless loop of them is interrupted like any other.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}
