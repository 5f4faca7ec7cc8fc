//! Properties of the parsers of allow rules, URLs and configuration files, and of the addresses that a policy admits.
//!
//! The input is text with one item per line: an allow rule, a URL, a network, a name, and an address that the name
//! resolves to. The whole input is also parsed as a configuration file.

#![no_main]

#[path = "settings/properties.rs"]
mod properties;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let [origin, url, net, name, address] = [(); 5].map(|()| lines.next().unwrap_or_default());
    if let Some(target) = properties::target(url) {
        properties::origin(origin, &target);
    }
    properties::admitted(net.parse().ok(), name, address);
    properties::file(text);
});
