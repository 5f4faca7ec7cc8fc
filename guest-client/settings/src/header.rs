//! [`Header`]: a header to send.

use crate::error::Problem;

/// What the name of the setting begins with.
const PREFIX: &str = "HEADER_";

/// A header to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name of the setting.
    pub setting: String,
    /// In lower case.
    pub name: String,
    /// Without control characters.
    pub value: String,
}

impl Header {
    /// The header that `setting` sets, whose name ends with that of the header.
    pub(crate) fn parse(setting: &str, value: &str) -> Result<Self, Problem> {
        let name = setting.strip_prefix(PREFIX).ok_or(Problem::Unknown)?;
        let name = name.to_ascii_lowercase().replace('_', "-");
        if name.is_empty() || !name.bytes().all(is_in_name) {
            return Err(Problem::HeaderName);
        }
        // The host permits it for guests that send bodies. A GET without a body must not have it.
        if name == "content-length" {
            return Err(Problem::ForbiddenHeader);
        }
        if value
            .chars()
            .any(|char| char.is_ascii_control() && char != '\t')
        {
            return Err(Problem::HeaderValue);
        }
        Ok(Self {
            setting: setting.to_owned(),
            name,
            value: value.to_owned(),
        })
    }
}

/// RFC 9110, section 5.6.2: the characters of a token.
fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_become_hyphens_and_a_value_is_kept() {
        let value = "Bearer\t \u{fc}/+=";
        let header = Header::parse("HEADER_X_API-Key", value).unwrap();
        assert_eq!((&*header.name, &*header.value), ("x-api-key", value));
        assert_eq!(Header::parse("HEADER_A", "").unwrap().value, "");
    }

    #[test]
    fn names_and_values_that_cannot_be_sent_are_refused() {
        for name in ["", "A B", "A:", "\u{dc}"] {
            let setting = format!("HEADER_{name}");
            assert_eq!(
                Header::parse(&setting, "x"),
                Err(Problem::HeaderName),
                "{name}"
            );
        }
        for value in ["a\n", "a\r", "\na", "a\r\nb: c", "a\0", "\x7f"] {
            assert_eq!(
                Header::parse("HEADER_A", value),
                Err(Problem::HeaderValue),
                "{value:?}"
            );
        }
        let length = Header::parse("HEADER_Content_Length", "1");
        assert_eq!(length, Err(Problem::ForbiddenHeader));
    }
}
