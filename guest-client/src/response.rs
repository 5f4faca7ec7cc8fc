//! The items of a response's body.
//!
//! The parser builds nothing but the items. Whatever the structure of a body, parsing it needs at most as much memory
//! as the body has bytes, plus a little for each of at most [`MAX_ITEMS`] items.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::bindings::exports::oneflight::client::items::{Error, Item};

/// Maximum number of items of one body, ten times the host's default. Without it, a body within the host's limit of
/// size could contain so many items that the guest exceeds its memory limit and traps.
const MAX_ITEMS: usize = 100_000;

/// The elements of the array at the pointer `items_at`, each with its id at the pointer `id_at`. The text of an element
/// is copied unchanged, so no number is rounded.
pub(crate) fn items(
    body: &[u8],
    items_at: &[String],
    id_at: &[String],
) -> Result<Vec<Item>, Error> {
    let malformed = |message: &str| Error::UpstreamMalformed(message.to_owned());
    let not_json = |error: &dyn fmt::Display| malformed(&format!("the body is not JSON: {error}"));
    let body = str::from_utf8(body).map_err(|error| not_json(&error))?;
    let array = if items_at.is_empty() {
        // The array is the whole body: it is checked while its items are parsed.
        Some(body)
    } else {
        let body = serde_json::from_str(body).map_err(|error| not_json(&error))?;
        at(items_at, body).map(RawValue::get)
    };
    let Some(array) = array.filter(|array| is_array(array)) else {
        serde_json::from_str::<IgnoredAny>(body).map_err(|error| not_json(&error))?;
        let message = "no array where ITEMS_AT points (by default the whole body)";
        return Err(malformed(message));
    };
    let items = parse(array, ItemsVisitor { id_at }).map_err(|error| match error.classify() {
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

/// Whether `json` is an array, if it is JSON at all.
fn is_array(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('[')
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
            let no_id = "an item has no id where ID_AT points (/id by default)";
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
    use super::{Error, items};

    /// Of a pointer without escapes.
    fn tokens(pointer: &str) -> Vec<String> {
        pointer.split('/').skip(1).map(str::to_owned).collect()
    }

    fn pairs(body: &str, items_at: &str, id_at: &str) -> Result<Vec<(String, String)>, String> {
        match items(body.as_bytes(), &tokens(items_at), &tokens(id_at)) {
            Ok(items) => Ok(items.into_iter().map(|item| (item.id, item.body)).collect()),
            Err(Error::UpstreamMalformed(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
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
        let answer = r#"{"a.b":[0,{"~":["x","y"]}]}"#;
        let item = |id: &str| (id.to_owned(), format!("\"{id}\""));
        assert_eq!(
            pairs(answer, "/a.b/1/~", ""),
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
            ("{}", "no array"),
            ("null", "no array"),
            ("[{}]", "no id"),
            ("[{\"id\":null}]", "no id"),
            ("[7]", "no id"),
            ("[{\"id\":7},{\"id\":\"7\"}]", "the same id"),
        ] {
            let refused = pairs(answer, "", "/id").unwrap_err();
            assert!(refused.contains(why), "{answer}: {refused}");
        }
        assert!(items(b"[{\"id\":\"\xff\"}]", &[], &tokens("/id")).is_err());
        assert!(items(b"[]", &tokens("/missing"), &tokens("/id")).is_err());
    }
}
