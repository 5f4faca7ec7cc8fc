//! What a policy reads origins and URLs as, which addresses it lets names stand for, and what a
//! configuration file comes to, by laws that hold for all of them.
//!
//! The input is text, a line each: an origin, a URL, a network, a name, and an address that the name
//! resolves to. All of it together is read as a configuration, too.

#![no_main]

#[path = "settings/laws.rs"]
mod laws;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let [origin, url, net, name, address] = [(); 5].map(|()| lines.next().unwrap_or_default());
    if let Some(target) = laws::target(url) {
        laws::origin(origin, &target);
    }
    laws::admitted(net.parse().ok(), name, address);
    laws::file(text);
});
