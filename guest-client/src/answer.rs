//! The items of an upstream's answer.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::bindings::exports::oneflight::client::items::{Error, Item};

/// The elements of the array at `items_at`, each with its id at `id_at`. A body is cut out of the
/// answer as it stands there: no number is rounded, and no tree of the whole answer is built.
pub(crate) fn items(answer: &[u8], items_at: &str, id_at: &str) -> Result<Vec<Item>, Error> {
    let malformed = |why: &str| Error::UpstreamMalformed(why.to_owned());
    let answer: &RawValue = serde_json::from_slice(answer)
        .map_err(|why| malformed(&format!("the answer is not JSON: {why}")))?;
    let array = at(items_at, answer).and_then(|array| serde_json::from_str(array.get()).ok());
    let array: Vec<&RawValue> = array
        .ok_or_else(|| malformed("no array where ITEMS_AT points (by default the whole answer)"))?;
    let item = |body: &RawValue| {
        let id = at(id_at, body).and_then(id);
        let id =
            id.ok_or_else(|| malformed("an item has no id where ID_AT points (/id by default)"))?;
        Ok(Item {
            id,
            body: body.get().to_owned(),
        })
    };
    array.into_iter().map(item).collect()
}

/// What a JSON pointer (RFC 6901) points at.
fn at<'a>(pointer: &str, json: &'a RawValue) -> Option<&'a RawValue> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    pointer.split('/').skip(1).try_fold(json, |json, step| {
        if json.get().starts_with('[') {
            let array: Vec<&RawValue> = serde_json::from_str(json.get()).ok()?;
            return array.get(step.parse::<usize>().ok()?).copied();
        }
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(json.get()).ok()?;
        object
            .get(&step.replace("~1", "/").replace("~0", "~"))
            .copied()
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
    fn an_answer_that_cannot_be_read_is_refused_whole() {
        for (answer, why) in [
            ("", "not JSON"),
            ("[] []", "not JSON"),
            ("[{\"id\":1,}]", "not JSON"),
            ("{}", "no array"),
            ("null", "no array"),
            ("[{}]", "no id"),
            ("[{\"id\":null}]", "no id"),
            ("[7]", "no id"),
        ] {
            let refused = pairs(answer, "", "/id").unwrap_err();
            assert!(refused.contains(why), "{answer}: {refused}");
        }
        assert!(items(b"[{\"id\":\"\xff\"}]", "", "/id").is_err());
        assert!(items(b"[]", "/missing", "/id").is_err());
        assert!(items(b"{\"a\":[]}", "a", "/id").is_err());
    }
}
