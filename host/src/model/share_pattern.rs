//! [`SharePattern`]: which functions of a client are shared.

use std::fmt;
use std::str::FromStr;

/// A name of functions whose calls are shared, as a client's settings list it.
///
/// `get-order` is the function of that name in any interface, and `acme:orders/orders#get-order` that of one interface.
/// `*` at the end of a name stands for anything. An interface may be named with its version or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePattern(Box<str>);

impl SharePattern {
    /// Whether it names the function of this interface and name.
    pub(crate) fn matches(&self, (interface, name): (Option<&str>, &str)) -> bool {
        let (wanted, pattern) = match self.0.split_once('#') {
            Some((wanted, pattern)) => (Some(wanted), pattern),
            None => (None, &*self.0),
        };
        let is_in = |wanted: &str| {
            interface.is_some_and(|interface| {
                let without_version = interface.split('@').next();
                wanted == interface || Some(wanted) == without_version
            })
        };
        wanted.is_none_or(is_in)
            && match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            }
    }
}

impl FromStr for SharePattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let name = text.split_once('#').map_or(text, |(_, name)| name);
        let start = name.strip_suffix('*').unwrap_or(name);
        let is_plain = !text.contains(char::is_whitespace) && !start.contains(['*', '#']);
        if name.is_empty() || text.starts_with('#') || !is_plain {
            return Err(NoPattern);
        }
        Ok(Self(text.into()))
    }
}

/// The text names no functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPattern;

impl fmt::Display for NoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the name of a function, as in get-order or acme:orders/orders#list-*")
    }
}

impl std::error::Error for NoPattern {}

impl fmt::Display for SharePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_functions_by_their_interface_and_the_start_of_their_name() {
        let orders = (Some("acme:orders/orders@1.0.0"), "list-open");
        let bare = (None, "list-open");
        for (pattern, in_orders, in_bare) in [
            ("list-open", true, true),
            ("list-*", true, true),
            ("*", true, true),
            ("list", false, false),
            ("acme:orders/orders#list-*", true, false),
            ("acme:orders/orders@1.0.0#list-open", true, false),
            ("acme:orders/orders@2.0.0#list-open", false, false),
            ("acme:other/orders#list-open", false, false),
        ] {
            let pattern: SharePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(orders), in_orders, "{pattern}");
            assert_eq!(pattern.matches(bare), in_bare, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_has_a_name_with_a_star_at_most_at_its_end() {
        for text in ["", "#", "#a", "a:b/c#", "a*b", "a b", "**", "a#b#c"] {
            assert_eq!(text.parse::<SharePattern>(), Err(NoPattern), "{text}");
        }
    }
}
