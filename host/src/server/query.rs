//! Parameters in the query of a request, in the encoding of HTML forms.

use std::borrow::Cow;
use std::str::Utf8Error;

use percent_encoding::percent_decode;

/// Why a parameter cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MalformedQuery {
    /// The query has it more than once.
    Repeated,
    /// Its value is not UTF-8.
    NotUtf8,
}

/// How many characters of a parameter's name an error shows.
const MAX_SHOWN_CHARS: usize = 64;

/// The value of the parameter `name`, if the query has it.
pub(super) fn parameter<'a>(
    query: &'a str,
    name: &str,
) -> Result<Option<Cow<'a, str>>, MalformedQuery> {
    let mut values = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(pair, _)| decode(pair).is_ok_and(|pair| pair == name));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (_, Some(_)) => Err(MalformedQuery::Repeated),
        (Some((_, value)), None) => decode(value).map(Some).map_err(|_| MalformedQuery::NotUtf8),
    }
}

/// All parameters, decoded. An empty pair, as at the end of `x=1&`, is skipped, as in HTML forms.
pub(super) fn parameters(
    query: &str,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Utf8Error>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

/// The name of the first parameter that is none of the `known` ones. An empty pair, as at the end of `x=1&`, has no
/// name and is skipped, as in HTML forms.
pub(super) fn unknown_parameter(query: &str, known: &[&str]) -> Option<String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let names = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let is_known = |name: &str| decode(name).is_ok_and(|name| known.contains(&&*name));
    names.into_iter().find(|name| !is_known(name)).map(shown)
}

/// A name as an error shows it: bytes that are not UTF-8 are replaced, and a long name is cut off.
fn shown(name: &str) -> String {
    let decoded = percent_decode(name.as_bytes()).decode_utf8_lossy();
    let mut shown: String = decoded.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < decoded.len() {
        shown.push('…');
    }
    shown
}

/// Copies nothing if nothing is encoded, as in most queries.
fn decode(text: &str) -> Result<Cow<'_, str>, Utf8Error> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).decode_utf8();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8()?;
    Ok(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded_as_a_form_encodes_it() {
        let x = |query| parameter(query, "x").unwrap().map(Cow::into_owned);
        assert_eq!(x("x=a+b%2Bc").as_deref(), Some("a b+c"));
        assert_eq!(x("y=1&%78=caf%C3%A9&z").as_deref(), Some("café"));
        assert_eq!(x("x").as_deref(), Some(""));
        assert_eq!(x("y=1"), None);
        assert_eq!(x(""), None);
    }

    #[test]
    fn the_first_parameter_that_is_not_known_is_named() {
        let unknown = |query| unknown_parameter(query, &["x", "y"]);
        for query in ["", "x=1", "y=1&x=2", "%78=1", "x=1&", "&x=1&&y"] {
            assert_eq!(unknown(query), None, "{query}");
        }
        for (query, name) in [
            ("x=1&page=2&per_page=3", "page"),
            ("X=1", "X"),
            ("x=1&a%20b", "a b"),
            ("x=1&=2", ""),
            ("x=1&%ff=2", "\u{fffd}"),
        ] {
            assert_eq!(unknown(query).as_deref(), Some(name), "{query}");
        }
        let long = "k".repeat(65);
        let cut = format!("{}…", "k".repeat(64));
        assert_eq!(unknown(&long), Some(cut));
    }

    #[test]
    fn a_parameter_that_is_repeated_or_not_utf8_is_refused() {
        assert_eq!(parameter("x=1&x=1", "x"), Err(MalformedQuery::Repeated));
        assert_eq!(parameter("x=%ff", "x"), Err(MalformedQuery::NotUtf8));
    }
}
