//! [`Environment`]: the interface by which a client in JavaScript reads its settings.

use oneflight::Wit;

/// The version of wasi:cli, unless the given WIT has another one.
const VERSION: &str = "0.2.3";

/// The interface `environment` of wasi:cli.
pub(super) struct Environment {
    /// Its name.
    pub(super) name: String,
    /// Whether the given WIT does not have it.
    pub(super) is_missing: bool,
}

/// That of the given WIT, if it has one: a package must not be there twice.
pub(super) fn environment_of(given: &Wit) -> Environment {
    let (resolve, _) = given.resolve();
    let found = resolve.packages.iter().find(|(_, package)| {
        let name = &package.name;
        name.namespace == "wasi"
            && name.name == "cli"
            && package.interfaces.contains_key("environment")
    });
    match found {
        Some((id, _)) => Environment {
            name: resolve.id_of_name(id, "environment"),
            is_missing: false,
        },
        None => Environment {
            name: format!("wasi:cli/environment@{VERSION}"),
            is_missing: true,
        },
    }
}
