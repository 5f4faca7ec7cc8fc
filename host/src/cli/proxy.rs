//! Proxies that the environment names, which are used only by clients with the setting `proxy`.

use std::env;

/// The variables by which other programs are given a proxy. Some programs read them in lower case only.
const VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Warns if the environment names a proxy: upstreams that only the proxy can reach will not be reached. The value is
/// not logged, since it may contain a password.
pub(super) fn warn_of_unused() {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let set: Vec<_> = VARIABLES.into_iter().filter(is_set).collect();
    if !set.is_empty() {
        tracing::warn!(
            "expected a direct route to upstreams, got {}, which clients without the setting proxy do not use; \
             set proxy = \"environment\" (--proxy environment) to use it",
            set.join(" and ")
        );
    }
}
