//! The items of an upstream's answer.

use serde_json::Value;

use crate::bindings::exports::oneflight::client::items::{Error, Item};

/// The elements of the array at `items_at`, each with its id at `id_at`. Numbers keep their digits,
/// and objects the order of their members.
pub(crate) fn items(answer: &[u8], items_at: &str, id_at: &str) -> Result<Vec<Item>, Error> {
    let malformed = |why: &str| Error::UpstreamMalformed(why.to_owned());
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|why| malformed(&format!("the answer is not JSON: {why}")))?;
    let array = answer.pointer(items_at).and_then(Value::as_array);
    let array = array.ok_or_else(|| malformed("no array where ITEMS_AT points (by default the whole answer)"))?;
    array
        .iter()
        .map(|item| {
            let id = match item.pointer(id_at) {
                Some(Value::String(id)) => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => return Err(malformed("an item has no id where ID_AT points (by default /id)")),
            };
            Ok(Item {
                id,
                body: item.to_string(),
            })
        })
        .collect()
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
    fn a_body_keeps_its_digits_and_its_order() {
        let body = r#"{"b":1.00,"a":12345678901234567890123,"id":"\u0037"}"#;
        let answer = format!(" [ {body} , {{\"id\":1.50}}]\n");
        let kept = body.replace(r"\u0037", "7");
        let expected = vec![("7".into(), kept), ("1.50".into(), "{\"id\":1.50}".into())];
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
    }
}
