//! Sets the component's stack to 128 KiB, several times what parsing the most deeply nested body takes. The default is
//! 1 MiB, and a host that clears an instance's memory scans all of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");
    }
}
