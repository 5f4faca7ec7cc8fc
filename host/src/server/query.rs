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
    fn a_parameter_that_is_repeated_or_not_utf8_is_refused() {
        assert_eq!(parameter("x=1&x=1", "x"), Err(MalformedQuery::Repeated));
        assert_eq!(parameter("x=%ff", "x"), Err(MalformedQuery::NotUtf8));
    }
}
