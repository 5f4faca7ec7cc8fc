//! Tells the linker how much stack the component has: 128 KiB, several times what reading the most deeply
//! nested answer takes. By default it is 1 MiB, and a host that clears an instance's memory looks through
//! all of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");
    }
}
