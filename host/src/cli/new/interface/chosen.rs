//! [`Chosen`]: which part of the given WIT a client exports.

use std::fmt::Write as _;

use anyhow::{Context, bail, ensure};
use oneflight::Wit;
use wit_parser::{PackageId, PackageName, Resolve, UnresolvedPackageGroup};

use super::environment::Environment;
use crate::cli::new::client_name::ClientName;

/// What a client exports.
pub(super) struct Chosen {
    /// The statements of its world that say so.
    statements: Vec<String>,
    /// The same for a message.
    pub(super) described: String,
    /// The name of the package that has it.
    package: PackageName,
}

impl Chosen {
    pub(super) fn of(given: &Wit, world: Option<&str>) -> anyhow::Result<Self> {
        let (resolve, package) = given.resolve();
        let name = &resolve.packages[package].name;
        let (statements, described) = match chosen_world(resolve, package, world)? {
            Some(world) => {
                let statement = format!("include {};", reference(name, world));
                (vec![statement], format!("the world {world} of {name}"))
            }
            None => (exported_interfaces(resolve, package)?, name.to_string()),
        };
        Ok(Self {
            statements,
            described,
            package: name.clone(),
        })
    }

    /// The WIT of the client's own package.
    pub(super) fn world(&self, client: &ClientName, environment: Option<&Environment>) -> String {
        let own = escaped(client.as_str());
        // The given package may have the same name.
        let is_taken = self.package.namespace == "local" && self.package.name == client.as_str();
        let suffix = if is_taken { "-client" } else { "" };
        let own = if is_taken { client.as_str() } else { &own };
        let mut text = format!(
            "/// What the component of this client imports and exports.\npackage local:{own}{suffix};\n\n\
             world client {{\n  import oneflight:client/fetch@0.1.0;\n"
        );
        if let Some(environment) = environment {
            let _ = writeln!(text, "  import {};", environment.name);
        }
        for statement in &self.statements {
            let _ = writeln!(text, "  {statement}");
        }
        text += "}\n";
        if environment.is_some_and(|environment| environment.is_missing) {
            text += ENVIRONMENT;
        }
        text
    }
}

const ENVIRONMENT: &str = "
/// The part of wasi:cli by which a client reads its settings.
package wasi:cli@0.2.3 {
  interface environment {
    get-environment: func() -> list<tuple<string, string>>;
  }
}
";

/// The world of this name, or the only one with exports, if there is one.
fn chosen_world<'a>(
    resolve: &'a Resolve,
    package: PackageId,
    wanted: Option<&str>,
) -> anyhow::Result<Option<&'a str>> {
    let package = &resolve.packages[package];
    let with_exports = package.worlds.iter().filter(|(_, id)| {
        let world = &resolve.worlds[**id];
        !world.exports.is_empty()
    });
    let names: Vec<&str> = with_exports.map(|(name, _)| name.as_str()).collect();
    if let Some(wanted) = wanted {
        let found = names.iter().copied().find(|name| *name == wanted);
        let found = found.with_context(|| {
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            format!(
                "expected a world of {} with exports ({names}), got {wanted:?}",
                package.name
            )
        })?;
        return Ok(Some(found));
    }
    match names[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => bail!(
            "expected one world with exports in {}, got {}; name one of them with --world",
            package.name,
            names.join(", ")
        ),
    }
}

fn exported_interfaces(resolve: &Resolve, package: PackageId) -> anyhow::Result<Vec<String>> {
    let package = &resolve.packages[package];
    let with_functions = package.interfaces.iter().filter(|(_, id)| {
        let interface = &resolve.interfaces[**id];
        !interface.functions.is_empty()
    });
    let exported: Vec<_> = with_functions
        .map(|(name, _)| format!("export {};", reference(&package.name, name)))
        .collect();
    ensure!(
        !exported.is_empty(),
        "expected an interface with functions, or a world that exports some, in {}, got none; add it, or give the file \
         or folder of another package",
        package.name
    );
    Ok(exported)
}

/// The name of something in a package, as WIT has it.
fn reference(package: &PackageName, name: &str) -> String {
    let mut text = format!(
        "{}:{}/{}",
        escaped(&package.namespace),
        escaped(&package.name),
        escaped(name)
    );
    if let Some(version) = &package.version {
        let _ = write!(text, "@{version}");
    }
    text
}

/// A name as WIT has it: with `%` before one that is a keyword.
pub(super) fn escaped(name: &str) -> String {
    let text = format!("package a:b; interface {name} {{}}");
    match UnresolvedPackageGroup::parse("", &text) {
        Ok(_) => name.to_owned(),
        Err(_) => format!("%{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_keywords_of_wit_are_escaped() {
        assert_eq!(escaped("orders"), "orders");
        for name in ["interface", "type", "func", "world", "list", "async"] {
            assert_eq!(escaped(name), format!("%{name}"));
        }
        let package = PackageName {
            namespace: "acme".to_owned(),
            name: "world".to_owned(),
            version: Some("1.2.0".parse().unwrap()),
        };
        assert_eq!(reference(&package, "use"), "acme:%world/%use@1.2.0");
    }
}
