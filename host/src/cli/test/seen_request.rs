//! [`SeenRequest`]: what the upstream saw of a request, and whether a key has stayed one part of its target.
//!
//! How a client's URLs look is not known. They are compared with those for a plain key: the path must have as many
//! segments and the query as many parameters, and each must be the same after decoding, with the key in place of the
//! plain one.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// RFC 3986, section 2.3: all but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The request line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenRequest {
    pub(super) method: String,
    /// The path and the query, as they were sent.
    pub(super) target: String,
}

/// One part of a target, decoded: what a server takes for a segment of the path, or for a name or value of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TargetPart {
    Segment(Vec<u8>),
    Parameter(Vec<u8>, Vec<u8>),
}

impl SeenRequest {
    /// Whether the key is a part of the target.
    pub(super) fn has(&self, key: &str) -> bool {
        let holds = |text: &[u8]| {
            text.windows(key.len().max(1))
                .any(|part| part == key.as_bytes())
        };
        self.parts().iter().any(|part| match part {
            TargetPart::Segment(text) => holds(text),
            TargetPart::Parameter(name, value) => holds(name) || holds(value),
        })
    }

    /// Whether the key is a part of the path.
    pub(super) fn has_in_path(&self, key: &str) -> bool {
        let (path, _) = self.split();
        let path = Self {
            method: String::new(),
            target: path.to_owned(),
        };
        path.has(key)
    }

    /// Whether it is the request `plain` with `key` in place of `plain_key`.
    pub(super) fn is_for(&self, key: &str, plain: &Self, plain_key: &str) -> bool {
        let expected = plain.parts().into_iter().map(|part| match part {
            TargetPart::Segment(text) => TargetPart::Segment(replaced(&text, plain_key, key)),
            TargetPart::Parameter(name, value) => TargetPart::Parameter(
                replaced(&name, plain_key, key),
                replaced(&value, plain_key, key),
            ),
        });
        self.method == plain.method && self.parts().into_iter().eq(expected)
    }

    /// Whether the path has a segment `.` or `..`, which servers resolve, also if it is percent-encoded.
    pub(super) fn has_dot_segment(&self) -> bool {
        self.parts()
            .iter()
            .any(|part| matches!(part, TargetPart::Segment(text) if text == b"." || text == b".."))
    }

    /// The request `plain`, as it should be sent for `key`.
    pub(super) fn expected(plain: &Self, plain_key: &str, key: &str) -> Self {
        let key = utf8_percent_encode(key, RESERVED).to_string();
        Self {
            method: plain.method.clone(),
            target: plain.target.replace(plain_key, &key),
        }
    }

    fn split(&self) -> (&str, Option<&str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.target, None),
        }
    }

    fn parts(&self) -> Vec<TargetPart> {
        let (path, query) = self.split();
        let path = path.split('/').skip(1);
        let segments =
            path.map(|segment| TargetPart::Segment(percent_decode_str(segment).collect()));
        let parameters = query.into_iter().flat_map(|query| query.split('&'));
        let parameters = parameters.map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            TargetPart::Parameter(form_decoded(name), form_decoded(value))
        });
        segments.chain(parameters).collect()
    }
}

/// Servers take `+` in a query for a space.
fn form_decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.replace(from, to).into_bytes(),
        Err(_) => text.to_vec(),
    }
}

impl fmt::Display for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough to see where the key is.
        const MAX_SHOWN_BYTES: usize = 100;
        let cut = self.target.floor_char_boundary(MAX_SHOWN_BYTES);
        let more = if cut < self.target.len() { "…" } else { "" };
        write!(f, "{} {}{more}", self.method, &self.target[..cut])
    }
}

#[cfg(test)]
mod tests {
    use super::SeenRequest;

    fn get(target: &str) -> SeenRequest {
        SeenRequest {
            method: "GET".into(),
            target: target.into(),
        }
    }

    #[test]
    fn a_key_that_stays_one_part_of_the_target_is_accepted() {
        for (plain, sent, key) in [
            ("/items/K", "/items/a%2Fb", "a/b"),
            ("/items/K/parts", "/items/a%252e/parts", "a%2e"),
            ("/items/K.json", "/items/a%20b.json", "a b"),
            ("/items?id=K&all=0", "/items?id=a%26b&all=0", "a&b"),
            ("/items?id=K", "/items?id=a+b", "a b"),
            ("/items?id=K", "/items?id=%2B", "+"),
            ("/items/K", "/items/+", "+"),
            ("/items/K", "/items/%c3%A9", "é"),
            ("/", "/", "a"),
        ] {
            assert!(get(sent).is_for(key, &get(plain), "K"), "{sent}");
        }
    }

    #[test]
    fn a_key_that_changes_the_structure_of_the_target_is_refused() {
        for (plain, sent, key) in [
            ("/items/K", "/items/a/b", "a/b"),
            ("/items/K", "/items/a?b", "a?b"),
            ("/items/K", "/items/a", "a#b"),
            ("/items/K", "/items/a%2eb", "a%2eb"),
            ("/items/K", "/items/a+b", "a b"),
            ("/items?id=K", "/items?id=a&b=c", "a&b=c"),
            ("/items?id=K", "/items?id=a+b", "a+b"),
            ("/items/K", "/admin", "../admin"),
            ("/items/K", "/items/A", "a"),
        ] {
            assert!(!get(sent).is_for(key, &get(plain), "K"), "{sent}");
        }
        assert!(get("/items/%2E.").has_dot_segment());
        assert!(!get("/items/%2E.a?id=..").has_dot_segment());
    }

    #[test]
    fn a_key_is_found_in_a_path_or_a_query() {
        assert!(get("/items/a-K.json").has("K"));
        assert!(get("/items?id=%4B").has("K") && !get("/items?id=K").has_in_path("K"));
        assert!(!get("/items").has("K"));
        let expected = SeenRequest::expected(&get("/items/K?x=1"), "K", "../é");
        assert_eq!(expected, get("/items/..%2F%C3%A9?x=1"));
    }
}
