//! The items of an upstream's answer.
//!
//! An answer is read as it stands, in one go and with nothing built of it but its items: however an
//! upstream arranges what it sends, reading it takes no more memory than it has bytes, and a little for
//! each item, of which there are not more than [`MOST_ITEMS`].

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::bindings::exports::oneflight::client::items::{Error, Item};

/// Items of one answer: ten times what a host takes where nothing else is said. Past this, an answer that
/// a host lets through would take more memory than its guest has there, and trap it.
const MOST_ITEMS: usize = 100_000;

/// The elements of the array at `items_at`, each with its id at `id_at`. A body is cut out of the
/// answer as it stands there: no number is rounded, and no tree of the whole answer is built.
pub(crate) fn items(answer: &[u8], items_at: &str, id_at: &str) -> Result<Vec<Item>, Error> {
    let malformed = |why: &str| Error::UpstreamMalformed(why.to_owned());
    let not_json = |why: &dyn fmt::Display| malformed(&format!("the answer is not JSON: {why}"));
    let answer = str::from_utf8(answer).map_err(|why| not_json(&why))?;
    let array = if items_at.is_empty() {
        // The array is the whole answer: it is checked while its items are read.
        Some(answer)
    } else {
        let answer = serde_json::from_str(answer).map_err(|why| not_json(&why))?;
        at(&steps(items_at), answer).map(RawValue::get)
    };
    let Some(array) = array.filter(|array| is_array(array)) else {
        serde_json::from_str::<IgnoredAny>(answer).map_err(|why| not_json(&why))?;
        let why = "no array where ITEMS_AT points (by default the whole answer)";
        return Err(malformed(why));
    };
    let id_at = steps(id_at);
    let items = read(array, Array { id_at }).map_err(|why| match why.classify() {
        Category::Data => malformed(&why.to_string()),
        _ => not_json(&why),
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

/// The parts of a JSON pointer (RFC 6901) between its slashes. What stands before the first slash is empty in
/// a valid one.
fn steps(pointer: &str) -> Vec<String> {
    let names = pointer.split('/');
    names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// What the pointer of these `steps` points at.
fn at<'a>(steps: &[String], json: &'a RawValue) -> Option<&'a RawValue> {
    let (nothing, names) = steps.split_first()?;
    if !nothing.is_empty() {
        return None;
    }
    names.iter().try_fold(json, |json, name| {
        read(json.get(), Step { name }).ok().flatten()
    })
}

/// A string as it reads, a number as it is written.
fn id(json: &RawValue) -> Option<String> {
    match json.get().as_bytes().first()? {
        b'"' => serde_json::from_str(json.get()).ok(),
        b'-' | b'0'..=b'9' => Some(json.get().to_owned()),
        _ => None,
    }
}

/// Reads what `json` is, and that there is nothing behind it.
fn read<'a, V: Visitor<'a>>(json: &'a str, visitor: V) -> serde_json::Result<V::Value> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = reader.deserialize_any(visitor)?;
    reader.end()?;
    Ok(value)
}

/// Makes an item of each element of an array.
struct Array {
    /// The steps to an item's id.
    id_at: Vec<String>,
}

impl<'a> Visitor<'a> for Array {
    type Value = Vec<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(body) = elements.next_element::<&RawValue>()? {
            if items.len() == MOST_ITEMS {
                return Err(A::Error::custom(format!("more than {MOST_ITEMS} items")));
            }
            let id = at(&self.id_at, body).and_then(id);
            let no_id = "an item has no id where ID_AT points (/id by default)";
            items.push(Item {
                id: id.ok_or_else(|| A::Error::custom(no_id))?,
                body: body.get().to_owned(),
            });
        }
        Ok(items)
    }
}

/// Takes one step of a pointer: finds what an object has under `name`, or an array at that place.
struct Step<'p> {
    name: &'p str,
}

impl<'a> Visitor<'a> for Step<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(self.name))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let index: Option<usize> = self.name.parse().ok();
        let (mut found, mut seen) = (None, 0);
        while let Some(element) = elements.next_element()? {
            if Some(seen) == index {
                found = Some(element);
            }
            seen += 1;
        }
        Ok(found)
    }
}

/// Compares a member's name, which may be written with escapes, and keeps nothing of it.
struct Is<'p>(&'p str);

impl<'a> DeserializeSeed<'a> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
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

    fn pairs(answer: &str, items_at: &str, id_at: &str) -> Result<Vec<(String, String)>, String> {
        match items(answer.as_bytes(), items_at, id_at) {
            Ok(items) => Ok(items.into_iter().map(|item| (item.id, item.body)).collect()),
            Err(Error::UpstreamMalformed(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_is_passed_on_as_it_stands() {
        let body = r#"{ "b":1.00, "a":12345678901234567890123, "id" : "\u0037" }"#;
        let answer = format!(" [ {body} , {{\"id\":1e3}}]\n");
        let expected = vec![
            ("7".into(), body.into()),
            ("1e3".into(), "{\"id\":1e3}".into()),
        ];
        assert_eq!(pairs(&answer, "", "/id"), Ok(expected));
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
    fn of_members_with_one_name_the_last_counts() {
        let answer = r#"{"a":[],"\u0061":["x"],"b":[]}"#;
        let item = ("x".to_owned(), r#""x""#.to_owned());
        assert_eq!(pairs(answer, "/a", ""), Ok(vec![item]));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_refused_whole() {
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
        assert!(items(b"[{\"id\":\"\xff\"}]", "", "/id").is_err());
        assert!(items(b"[]", "/missing", "/id").is_err());
        assert!(items(b"{\"a\":[]}", "a", "/id").is_err());
    }
}
