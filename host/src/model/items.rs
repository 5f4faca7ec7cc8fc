//! Items: immutable, shared, and rendered as JSON at most once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// The items of one answer. Cloning shares them: the answer for a thousand callers is in memory once.
#[derive(Clone, Debug)]
pub struct Items(Arc<Shared>);

/// Invariant: the ids of `items` differ from each other. `json` is written by the first reader and
/// is the same for all that follow, as is `held`.
#[derive(Debug)]
struct Shared {
    items: Box<[Item]>,
    json: OnceLock<Bytes>,
    /// The same bytes as they are held for callers; `None` if they did not fit.
    held: OnceLock<Option<Bytes>>,
}

/// One item of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    id: String,
    body: Box<RawValue>,
}

impl Items {
    /// The items of one answer.
    ///
    /// # Errors
    ///
    /// [`MalformedItems::SameId`] if two items have the same id.
    pub fn new(items: Vec<Item>) -> Result<Self, MalformedItems> {
        let mut ids = HashSet::with_capacity(items.len());
        if items.iter().any(|item| !ids.insert(item.id())) {
            return Err(MalformedItems::SameId);
        }
        Ok(Self(Arc::new(Shared {
            items: items.into(),
            json: OnceLock::new(),
            held: OnceLock::new(),
        })))
    }

    /// The items, in the order in which the guest returned them.
    #[must_use]
    pub fn as_slice(&self) -> &[Item] {
        &self.0.items
    }

    /// The items as a JSON array of `{"id": …, "body": …}`, in UTF-8. The first call renders it, and all calls share
    /// the bytes.
    ///
    /// # Panics
    ///
    /// Never: an item consists of strings and of JSON that was parsed before.
    #[must_use]
    pub fn json(&self) -> Bytes {
        let render = || {
            let mut json = Vec::with_capacity(self.json_len());
            serde_json::to_writer(&mut json, self.as_slice()).expect("items are valid JSON");
            json.into()
        };
        self.0.json.get_or_init(render).clone()
    }

    /// The length of [`json`](Self::json), in bytes, without rendering it.
    #[must_use]
    pub fn json_len(&self) -> usize {
        /// The bytes of an item besides its id and body, with one comma.
        const AROUND: usize = r#"{"id":"","body":},"#.len();
        let items = self.as_slice();
        let size = |item: &Item| AROUND + escaped_len(item.id()) + item.body().len();
        // There is no comma after the last item.
        let comma = usize::from(!items.is_empty());
        "[]".len() + items.iter().map(size).sum::<usize>() - comma
    }

    /// What the items take in memory, in bytes, without the JSON.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let size = |item: &Item| size_of::<Item>() + item.id.capacity() + item.body().len();
        self.as_slice().iter().map(size).sum()
    }

    /// The same JSON, as what `hold` makes of it: bytes that count as held until the last reference to them is dropped.
    /// `None` if `hold` refuses. The first call decides for all callers of the answer.
    #[must_use]
    pub(crate) fn json_held(&self, hold: impl FnOnce(Bytes) -> Option<Bytes>) -> Option<Bytes> {
        self.0.held.get_or_init(|| hold(self.json())).clone()
    }

    /// Whether both are one answer in memory, and not merely equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The length of `text` in a string of JSON (RFC 8259, section 7), as `serde_json` writes it.
fn escaped_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        ..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

impl Item {
    /// An item with this `body`.
    ///
    /// # Errors
    ///
    /// [`MalformedItems::BodyNotJson`] if `body` is not exactly one JSON document.
    pub fn new(id: String, body: String) -> Result<Self, MalformedItems> {
        match RawValue::from_string(body) {
            Ok(body) => Ok(Self { id, body }),
            Err(_) => Err(MalformedItems::BodyNotJson),
        }
    }

    /// The id, unique in its answer.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The item itself: one JSON document.
    #[must_use]
    pub fn body(&self) -> &str {
        self.body.get()
    }
}

/// Why items violate the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedItems {
    /// Two items of one answer have the same id.
    SameId,
    /// A body is not one JSON document.
    BodyNotJson,
}

impl fmt::Display for MalformedItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameId => "expected different ids, got the same id twice in one answer",
            Self::BodyNotJson => {
                "expected one JSON document as the body of an item, got something else"
            }
        })
    }
}

impl std::error::Error for MalformedItems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, body: &str) -> Item {
        Item::new(id.into(), body.into()).unwrap()
    }

    #[test]
    fn json_is_rendered_once_and_shared() {
        let items = Items::new(vec![item("a\"", r#"{"n": 1}"#), item("b", "[]")]).unwrap();
        let (first, second) = (items.json(), items.clone().json());
        assert_eq!(
            first,
            r#"[{"id":"a\"","body":{"n": 1}},{"id":"b","body":[]}]"#
        );
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn the_length_of_the_json_is_known_before_it_is_rendered() {
        let every_byte: String = (0..=0x10_ffff)
            .step_by(7)
            .filter_map(char::from_u32)
            .collect();
        let ascii: String = (0..128).map(char::from).collect();
        for ids in [
            &[][..],
            &[""],
            &["a"],
            &[&ascii, "b"],
            &[&every_byte, &ascii, "c"],
        ] {
            let items = ids.iter().map(|id| item(id, "[1, 2]")).collect();
            let items = Items::new(items).unwrap();
            assert_eq!(items.json_len(), items.json().len());
        }
    }

    #[test]
    fn items_with_one_id_twice_are_refused() {
        let twice = Items::new(vec![item("a", "1"), item("a", "2")]);
        assert_eq!(twice.unwrap_err(), MalformedItems::SameId);
    }

    #[test]
    fn a_body_that_is_not_one_json_document_is_refused() {
        for body in ["", "{", "1 2", "nope"] {
            let refused = Item::new("a".into(), body.into());
            assert_eq!(
                refused.unwrap_err(),
                MalformedItems::BodyNotJson,
                "{body:?}"
            );
        }
    }
}
