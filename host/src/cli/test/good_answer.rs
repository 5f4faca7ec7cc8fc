//! [`GoodAnswer`]: the body of the upstream's usual response, and what can be wrong with such a body.

use bytes::Bytes;
use serde_json::Value;

/// What the upstream answers unless `--answer` has another body.
const ITEMS: &str = r#"[{"id":"a","name":"first"},{"id":"b","name":"second"}]"#;

/// A number that a float does not hold.
pub(super) const LONG_NUMBER: &str = "12345678901234567890.25";

/// The body of the upstream's usual response.
pub(super) struct GoodAnswer {
    text: String,
    json: Value,
}

impl Default for GoodAnswer {
    fn default() -> Self {
        Self::parse(ITEMS.to_owned()).expect("it is JSON")
    }
}

impl GoodAnswer {
    /// The body in `text`, which has to be JSON.
    pub(super) fn parse(text: String) -> serde_json::Result<Self> {
        let json = serde_json::from_str(&text)?;
        Ok(Self { text, json })
    }

    /// The body of a response with `status` and these header lines.
    pub(super) fn response(&self, status: u16, headers: &str) -> Bytes {
        response(status, headers, self.text.as_bytes())
    }

    /// The body of a response that announces `more` bytes than the body has.
    pub(super) fn announcing(&self, more: usize) -> Bytes {
        let length = self.text.len() + more;
        head_and(200, &format!("content-length: {length}\r\n"), &self.text)
    }

    /// The body as one chunk, without the chunk that ends a body.
    pub(super) fn without_last_chunk(&self) -> Bytes {
        let chunk = format!("{:x}\r\n{}\r\n", self.text.len(), self.text);
        head_and(200, "transfer-encoding: chunked\r\n", &chunk)
    }

    /// The same body after a byte-order mark.
    pub(super) fn with_byte_order_mark(&self) -> Bytes {
        response(200, JSON, format!("\u{feff}{}", self.text).as_bytes())
    }

    /// The same body with a byte in it that is not UTF-8: in its first string, or after it.
    pub(super) fn not_utf8(&self) -> Bytes {
        let mut body = self.text.clone().into_bytes();
        let place = self.text.rfind("\":\"").map_or(body.len(), |at| at + 3);
        body.insert(place, 0xff);
        response(200, JSON, &body)
    }

    /// Another form: the first element of an array instead of the array, or an array instead of one value.
    pub(super) fn other_form(&self) -> Bytes {
        let other = match &self.json {
            Value::Array(elements) => elements.first().cloned().unwrap_or_default(),
            json => Value::Array(vec![json.clone()]),
        };
        response(200, JSON, other.to_string().as_bytes())
    }

    /// Without the first member `id`; if there is none, with empty outer objects.
    pub(super) fn without_id(&self) -> Bytes {
        let mut json = self.json.clone();
        if !remove_id(&mut json) {
            match &mut json {
                Value::Array(elements) => elements.iter_mut().for_each(empty_object),
                json => empty_object(json),
            }
        }
        response(200, JSON, json.to_string().as_bytes())
    }

    /// An empty array; `None` if the usual answer is no array.
    pub(super) fn empty(&self) -> Option<Bytes> {
        self.json.is_array().then(|| response(200, JSON, b"[]"))
    }

    /// With a number in each outer object that has more digits than a float; `None` if there is no such object.
    pub(super) fn with_long_number(&self) -> Option<Bytes> {
        let inner = match &self.json {
            Value::Array(_) => self.text.trim_start().strip_prefix('[')?,
            _ => &self.text,
        };
        let rest = inner.trim_start().strip_prefix('{')?;
        let start = &self.text[..self.text.len() - rest.len()];
        let comma = if rest.trim_start().starts_with('}') {
            ""
        } else {
            ","
        };
        let body = format!("{start}\"oneflight-test\":{LONG_NUMBER}{comma}{rest}");
        Some(response(200, JSON, body.as_bytes()))
    }
}

/// The header line of JSON.
pub(super) const JSON: &str = "content-type: application/json\r\n";

/// Removes the first member `id` in `json`, and returns whether there is one.
fn remove_id(json: &mut Value) -> bool {
    match json {
        // Not `remove`, which would move the last member to its place.
        Value::Object(members) => {
            members.shift_remove("id").is_some() || members.values_mut().any(remove_id)
        }
        Value::Array(elements) => elements.iter_mut().any(remove_id),
        _ => false,
    }
}

fn empty_object(json: &mut Value) {
    if let Value::Object(members) = json {
        members.clear();
    }
}

/// A response with `status`, these header lines, and `body`, whose length it states.
pub(super) fn response(status: u16, headers: &str, body: &[u8]) -> Bytes {
    let length = match status {
        // RFC 9110, section 8.6: a 204 response states no length.
        204 => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let mut bytes = head_and(status, &format!("{length}{headers}"), "").to_vec();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// The header section of a response, and `rest`.
fn head_and(status: u16, headers: &str, rest: &str) -> Bytes {
    format!("HTTP/1.1 {status} \r\n{headers}\r\n{rest}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Bytes) -> String {
        let text = String::from_utf8_lossy(response);
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_derived_from_it() {
        let items = GoodAnswer::default();
        assert_eq!(body(&items.other_form()), r#"{"id":"a","name":"first"}"#);
        assert_eq!(
            body(&items.without_id()),
            r#"[{"name":"first"},{"id":"b","name":"second"}]"#
        );
        assert!(body(&items.not_utf8()).contains(
            r#"{"id":"b","name":"\u{fffd}second"}"#.replace("\\u{fffd}", "\u{fffd}").as_str()
        ));
        let number = body(&items.with_long_number().unwrap());
        assert!(number.starts_with(r#"[{"oneflight-test":12345678901234567890.25,"id":"a""#));
        serde_json::from_str::<Value>(&number).unwrap();

        let object = GoodAnswer::parse(r#" {"order":{"n":1}}"#.into()).unwrap();
        assert_eq!(body(&object.other_form()), r#"[{"order":{"n":1}}]"#);
        assert_eq!(body(&object.without_id()), "{}");
        assert_eq!(body(&object.not_utf8()), " {\"order\":{\"n\":1}}\u{fffd}");
        let number = object.with_long_number().unwrap();
        serde_json::from_str::<Value>(&body(&number)).unwrap();
        let text = GoodAnswer::parse("7".into()).unwrap();
        assert_eq!(
            (text.with_long_number(), body(&text.without_id())),
            (None, "7".into())
        );
    }
}
