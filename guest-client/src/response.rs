//! The items of a response's body.
//!
//! The parser builds nothing but the items. Whatever the structure of a body, parsing it needs at most as much memory
//! as the body has bytes, plus a little for each of at most [`MAX_ITEMS`] items.

use std::fmt;

use client_settings::{Answer, ClientSettings};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::bindings::exports::oneflight::client::items::{Error, Item};

/// Maximum number of items of one body, ten times the host's default. Without it, a body within the host's limit of
/// size could contain so many items that the guest exceeds its memory limit and traps.
const MAX_ITEMS: usize = 100_000;

/// RFC 8259, section 2: what may stand around a value.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The items of a body, in the response to a request for the key `x`. Their text is copied unchanged, so no number is
/// rounded.
pub(crate) fn items(body: &[u8], settings: &ClientSettings, x: &str) -> Result<Vec<Item>, Error> {
    let body = text(body)?;
    let items_at = settings.items_at.tokens();
    let json = if items_at.is_empty() {
        // It is checked while its items are parsed.
        body
    } else {
        let body = serde_json::from_str(body).map_err(|error| not_json(&error))?;
        let json = at(items_at, body).map(RawValue::get);
        json.ok_or_else(|| malformed("nothing is where ITEMS_AT points"))?
    };
    let json = json.trim_start_matches(WHITE_SPACE);
    let id_at = match &settings.answer {
        Answer::Items { id_at } => id_at.tokens(),
        Answer::Item => {
            let item = (json.as_bytes().first() != Some(&b'n')).then_some(x);
            return one(json, |_| Ok(item.map(str::to_owned)));
        }
    };
    match json.as_bytes().first() {
        Some(b'[') => array(json, id_at),
        Some(b'{') => one(json, |item| {
            let id = at(id_at, item).and_then(id);
            let expected = "an object has no id where ID_AT points (/id by default); to take the answer as one item \
                            whose id is the key, set ANSWER=item";
            id.map(Some).ok_or_else(|| malformed(expected))
        }),
        Some(b'n') => one(json, |_| Ok(None)),
        _ => one(json, |_| {
            let expected = "expected an array of items, an object or null where ITEMS_AT points (by default the whole \
                            body), got another value";
            Err(malformed(expected))
        }),
    }
}

/// The body as text, without a byte-order mark.
///
/// RFC 8259, section 8.1: JSON is UTF-8, and a parser may ignore a byte-order mark.
fn text(body: &[u8]) -> Result<&str, Error> {
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Err(malformed("expected JSON in UTF-8, got UTF-16"));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    str::from_utf8(body).map_err(|error| not_json(&error))
}

fn malformed(message: &str) -> Error {
    Error::UpstreamMalformed(message.to_owned())
}

fn not_json(error: &dyn fmt::Display) -> Error {
    Error::UpstreamMalformed(format!("the body is not JSON: {error}"))
}

/// The value `json` as one item, or as none, if `id` returns none.
fn one(
    json: &str,
    id: impl FnOnce(&RawValue) -> Result<Option<String>, Error>,
) -> Result<Vec<Item>, Error> {
    let json: &RawValue = serde_json::from_str(json).map_err(|error| not_json(&error))?;
    let item = |id| Item {
        id,
        body: json.get().to_owned(),
    };
    Ok(id(json)?.map(item).into_iter().collect())
}

/// The elements of an array, each with its id at the pointer `id_at`.
fn array(json: &str, id_at: &[String]) -> Result<Vec<Item>, Error> {
    let items = parse(json, ItemsVisitor { id_at }).map_err(|error| match error.classify() {
        Category::Data => malformed(&error.to_string()),
        _ => not_json(&error),
    })?;
    let mut ids: Vec<_> = items.iter().map(|item| &item.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(malformed(
            "two items have the same id where ID_AT points (/id by default)",
        ));
    }
    Ok(items)
}

/// The value at the pointer of these `tokens`.
fn at<'a>(tokens: &[String], json: &'a RawValue) -> Option<&'a RawValue> {
    tokens.iter().try_fold(json, |json, name| {
        parse(json.get(), Member { name }).ok().flatten()
    })
}

/// The value of a string, or the text of a number.
fn id(json: &RawValue) -> Option<String> {
    match json.get().as_bytes().first()? {
        b'"' => serde_json::from_str(json.get()).ok(),
        b'-' | b'0'..=b'9' => Some(json.get().to_owned()),
        _ => None,
    }
}

/// Parses `json`, and checks that nothing follows it.
fn parse<'a, V: Visitor<'a>>(json: &'a str, visitor: V) -> serde_json::Result<V::Value> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = reader.deserialize_any(visitor)?;
    reader.end()?;
    Ok(value)
}

/// Converts each element of an array to an item.
struct ItemsVisitor<'p> {
    /// The tokens of the pointer to an item's id.
    id_at: &'p [String],
}

impl<'a> Visitor<'a> for ItemsVisitor<'_> {
    type Value = Vec<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(body) = elements.next_element::<&RawValue>()? {
            if items.len() == MAX_ITEMS {
                return Err(A::Error::custom(format!("more than {MAX_ITEMS} items")));
            }
            let id = at(self.id_at, body).and_then(id);
            let no_id =
                "an item has no id, a string or a number, where ID_AT points (/id by default)";
            items.push(Item {
                id: id.ok_or_else(|| A::Error::custom(no_id))?,
                body: body.get().to_owned(),
            });
        }
        Ok(items)
    }
}

/// Resolves one token of a pointer: the member `name` of an object, or the element of an array at that index.
struct Member<'p> {
    name: &'p str,
}

impl<'a> Visitor<'a> for Member<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(matches) = members.next_key_seed(NameIs(self.name))? {
            if matches {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let index: Option<usize> = self.name.parse().ok();
        let (mut found, mut position) = (None, 0);
        while let Some(element) = elements.next_element()? {
            if Some(position) == index {
                found = Some(element);
            }
            position += 1;
        }
        Ok(found)
    }
}

/// Compares a member's name, which may have escapes, without storing it.
struct NameIs<'p>(&'p str);

impl<'a> DeserializeSeed<'a> for NameIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientSettings, Error, items};

    /// The items of a body with these settings, for the key `k`.
    fn bytes(body: &[u8], settings: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let url = ("BASE_URL", "http://a.example");
        let settings = ClientSettings::parse([&url].into_iter().chain(settings).copied()).unwrap();
        match items(body, &settings, "k") {
            Ok(items) => Ok(items.into_iter().map(|item| (item.id, item.body)).collect()),
            Err(Error::UpstreamMalformed(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn pairs(body: &str, items_at: &str, id_at: &str) -> Result<Vec<(String, String)>, String> {
        bytes(body.as_bytes(), &[("ITEMS_AT", items_at), ("ID_AT", id_at)])
    }

    fn pair(id: &str, body: &str) -> (String, String) {
        (id.to_owned(), body.to_owned())
    }

    #[test]
    fn one_object_is_one_item_and_null_is_none() {
        let object = r#"{"id":7,"n":1.00}"#;
        let item = Ok(vec![pair("7", object)]);
        assert_eq!(pairs(&format!(" {object}\n"), "", "/id"), item);
        assert_eq!(pairs(&format!(r#"{{"a":{object}}}"#), "/a", "/id"), item);
        assert_eq!(pairs(" null ", "", "/id"), Ok(vec![]));
        assert_eq!(pairs(r#"{"a":null}"#, "/a", "/id"), Ok(vec![]));
        let no_id = pairs("{}", "", "/id").unwrap_err();
        assert!(no_id.contains("set ANSWER=item"), "{no_id}");
    }

    #[test]
    fn the_whole_answer_can_be_one_item_whose_id_is_the_key() {
        for body in [r#"{"n":1.00}"#, "[1, 2]", "7", "\"text\"", "false"] {
            let item = Ok(vec![pair("k", body)]);
            assert_eq!(
                bytes(format!(" {body}\n").as_bytes(), &[("ANSWER", "item")]),
                item
            );
            let nested = format!(r#"{{"a":{body}}}"#);
            let settings = [("ANSWER", "item"), ("ITEMS_AT", "/a")];
            assert_eq!(bytes(nested.as_bytes(), &settings), item);
        }
        assert_eq!(bytes(b"null", &[("ANSWER", "item")]), Ok(vec![]));
        for body in ["", "nul", "{}{}", "[1,]"] {
            let refused = bytes(body.as_bytes(), &[("ANSWER", "item")]).unwrap_err();
            assert!(refused.contains("not JSON"), "{body}: {refused}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_utf16_is_named() {
        let item = Ok(vec![pair("7", "{\"id\":7}")]);
        assert_eq!(bytes(b"\xef\xbb\xbf[{\"id\":7}]", &[]), item);
        assert_eq!(bytes(b"\xef\xbb\xbf {\"id\":7}", &[]), item);
        for body in [&b"\xff\xfe[\0]\0"[..], b"\xfe\xff\0[\0]"] {
            let refused = bytes(body, &[]).unwrap_err();
            assert_eq!(refused, "expected JSON in UTF-8, got UTF-16");
        }
        assert!(bytes(b"[{\"id\":\"\xff\"}]", &[]).is_err());
        assert!(bytes(b"\xef\xbb\xbf\xef\xbb\xbf[]", &[]).is_err());
    }

    #[test]
    fn the_text_of_an_item_is_copied_unchanged() {
        let item = r#"{ "b":1.00, "a":12345678901234567890123, "id" : "\u0037" }"#;
        let body = format!(" [ {item} , {{\"id\":1e3}}]\n");
        let expected = vec![
            ("7".into(), item.into()),
            ("1e3".into(), "{\"id\":1e3}".into()),
        ];
        assert_eq!(pairs(&body, "", "/id"), Ok(expected));
    }

    #[test]
    fn pointers_reach_into_objects_and_arrays() {
        let answer = r#"{"a/b":[0,{"~":["x","y"]}]}"#;
        let item = |id: &str| (id.to_owned(), format!("\"{id}\""));
        assert_eq!(
            pairs(answer, "/a~1b/1/~0", ""),
            Ok(vec![item("x"), item("y")])
        );
    }

    #[test]
    fn the_last_of_several_members_with_one_name_counts() {
        let answer = r#"{"a":[],"\u0061":["x"],"b":[]}"#;
        let item = ("x".to_owned(), r#""x""#.to_owned());
        assert_eq!(pairs(answer, "/a", ""), Ok(vec![item]));
    }

    #[test]
    fn a_body_that_cannot_be_parsed_has_no_items() {
        for (answer, why) in [
            ("", "not JSON"),
            ("[] []", "not JSON"),
            ("[{\"id\":7}] x", "not JSON"),
            ("\u{c}[]", "not JSON"),
            ("{,}", "not JSON"),
            ("[{\"id\":1,}]", "not JSON"),
            ("{}", "an object has no id"),
            ("7", "expected an array"),
            ("\"\"", "expected an array"),
            ("true", "expected an array"),
            ("nil", "not JSON"),
            ("{\"id\":1}{\"id\":2}", "not JSON"),
            ("[{}]", "no id"),
            ("[{\"id\":null}]", "no id"),
            ("[7]", "no id"),
            ("[{\"id\":7},{\"id\":\"7\"}]", "the same id"),
        ] {
            let refused = pairs(answer, "", "/id").unwrap_err();
            assert!(refused.contains(why), "{answer}: {refused}");
        }
        // A pointer that is misspelt must not seem to find no items.
        for answer in ["[]", "{}", "{\"total\":0}"] {
            let refused = pairs(answer, "/missing", "/id").unwrap_err();
            assert_eq!(refused, "nothing is where ITEMS_AT points", "{answer}");
        }
    }
}
