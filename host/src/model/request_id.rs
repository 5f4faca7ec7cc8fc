//! [`RequestId`]: the name of one caller's request, for people who search a log for it.

use std::fmt;
use std::sync::Arc;

/// The longest id: 128 bytes. Proxies send UUIDs, of 36.
const MAX_BYTES: usize = 128;

/// The id of one caller's request, which the caller or a proxy in front of it chose. No guest gets it, and it does not
/// determine which flight answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// `None` unless it has 1 to 128 characters of visible ASCII: it is written to logs and headers as it is.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_valid = (1..=MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_visible_ascii() {
        for text in [
            "1",
            "r-123",
            "7d0c3c1e-6b5f-4b3e-9a57-0c8f2d1e4a6b",
            &"x".repeat(128),
        ] {
            assert_eq!(RequestId::new(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\n", "\u{1b}[2J", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(RequestId::new(text), None, "{text:?}");
        }
    }
}
