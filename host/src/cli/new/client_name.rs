//! [`ClientName`]: what a new client can be called.

use std::fmt;
use std::str::FromStr;

/// The name of a new client: a valid name of a crate, an npm package and a WIT package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientName(String);

impl ClientName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// A template's text with this name.
    pub(super) fn put_into(&self, text: &str) -> String {
        text.replace("my-client", &self.0)
            .replace("my_client", &self.0.replace('-', "_"))
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit())
        };
        if name.len() <= 64 && name.split('-').all(is_word) {
            Ok(Self(name.to_owned()))
        } else {
            Err("expected lower-case words of letters and digits, with hyphens between them, at most 64 bytes, as my-client".to_owned())
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "my-client", "orders2", "a-b-c3"] {
            assert_eq!(name.parse(), Ok(ClientName(name.to_owned())), "{name}");
        }
        for name in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "A",
            "2a",
            "a-2",
            "a_b",
            "a/b",
            "..",
            "é",
            &"a".repeat(65),
        ] {
            assert!(name.parse::<ClientName>().is_err(), "{name}");
        }
        let name: ClientName = "acme-orders".parse().unwrap();
        assert_eq!(
            name.put_into("my-client my_client"),
            "acme-orders acme_orders"
        );
    }
}
