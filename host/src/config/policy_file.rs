//! [`PolicyFile`]: what a component needs of a client, as its author suggests it. It is checked when it is published,
//! and has no effect where it is read.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::de::DeTable;

use super::client::ClientConfig;
use super::file::{ConfigError, invalid};
use super::located::Located;
use crate::oci::MAX_POLICY_BYTES;

/// The settings of a client that a policy may have: none of them is a secret or depends on a machine.
const NAMES: [&str; 4] = ["allow", "allow_net", "share", "limits"];

/// A valid policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile(String);

impl PolicyFile {
    /// Reads the policy at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is longer than [`MAX_POLICY_BYTES`], or has something else than a policy may have.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut text = String::new();
        let unreadable = |error| ConfigError::Unreadable {
            file: path.to_owned(),
            error: Arc::new(error),
        };
        let file = File::open(path).map_err(unreadable)?;
        let limit = MAX_POLICY_BYTES as u64 + 1;
        file.take(limit)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let refused = |at, message| invalid(path, &text, at, message);
        if text.len() > MAX_POLICY_BYTES {
            let message =
                format!("expected a policy of at most {MAX_POLICY_BYTES} bytes, got more");
            return Err(refused(0, message));
        }
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            refused(at, error.message().to_owned())
        })?;
        let other = table
            .get_ref()
            .keys()
            .find(|name| !NAMES.contains(&&**name.get_ref()));
        if let Some(name) = other {
            let names = NAMES.join(", ");
            let message = format!("expected one of {names}, got {}; remove it", name.get_ref());
            return Err(refused(name.span().start, message));
        }
        let read = ClientConfig::deserialize(Located::file(table.clone()));
        read.map_err(|error| refused(error.place(&table), error.to_string()))?;
        Ok(Self(text))
    }

    /// The policy as TOML.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PolicyFile, String> {
        let parsed = PolicyFile::parse(Path::new("policy.toml"), text.to_owned());
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_has_what_a_component_needs_and_nothing_else() {
        let text = "# for 1.4\nallow = ['https://api.example.com']\nshare = ['get-*']\n[limits]\nflight_timeout = '5s'\n";
        assert_eq!(parse(text).unwrap().into_text(), text);
        for (text, expected) in [
            (
                "\nsettings = {}",
                "policy.toml:2: expected one of allow, allow_net, share, limits, got settings",
            ),
            ("allow = ['https://a b']", "policy.toml:1: allow"),
            (
                "[limits]\nflight_timeout = '5'",
                "policy.toml:2: limits.flight_timeout",
            ),
            ("allow = [", "policy.toml:1: "),
            (
                &"#".repeat(MAX_POLICY_BYTES + 1),
                "expected a policy of at most 16384 bytes",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
