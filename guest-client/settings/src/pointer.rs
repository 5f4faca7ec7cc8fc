//! [`Pointer`]: where a value is in a JSON document.

use crate::error::Problem;

/// A JSON pointer, as its decoded reference tokens. Without tokens it points to the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// A pointer to the member `name` of the document.
    pub(crate) fn to(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// RFC 6901, section 3: empty, or tokens that each begin with a slash.
    /// RFC 6901, section 4: `~1` is decoded before `~0`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut tokens = text.split('/');
        if tokens.next() != Some("") {
            return Err(Problem::Pointer);
        }
        let decoded = |token: &str| {
            let mut escapes = token.split('~').skip(1);
            let are_valid = escapes.all(|rest| rest.starts_with(['0', '1']));
            are_valid.then(|| token.replace("~1", "/").replace("~0", "~"))
        };
        let tokens = tokens.map(decoded).collect::<Option<_>>();
        tokens.map(Self).ok_or(Problem::Pointer)
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_decoded() {
        for (text, tokens) in [
            ("", &[][..]),
            ("/", &[""]),
            ("/a/b", &["a", "b"]),
            ("/a~1b/~0/~01/0", &["a/b", "~", "~1", "0"]),
        ] {
            assert_eq!(Pointer::parse(text).unwrap().tokens(), tokens, "{text}");
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for text in [
            "items", ".items", "$.items", "#/items", "a/b", "/a~", "/a~2", "/~/b",
        ] {
            assert_eq!(Pointer::parse(text), Err(Problem::Pointer), "{text}");
        }
    }
}
