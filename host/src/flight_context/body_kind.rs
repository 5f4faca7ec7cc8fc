//! [`FirstBytes`]: the beginning of a body, and what it is the beginning of. The log shows the kind and never the bytes.

/// How many bytes are kept: enough for a byte-order mark, some white space and a document type.
const KEPT: usize = 32;

/// The first bytes of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstBytes {
    bytes: [u8; KEPT],
    length: usize,
}

impl FirstBytes {
    /// Whether more bytes change nothing.
    pub(super) fn is_full(&self) -> bool {
        self.length == KEPT
    }

    /// Adds bytes, as long as there is room.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let free = &mut self.bytes[self.length..];
        let added = free.len().min(bytes.len());
        free[..added].copy_from_slice(&bytes[..added]);
        self.length += added;
    }

    /// What they are the beginning of.
    pub(super) fn kind(&self) -> &'static str {
        let bytes = &self.bytes[..self.length];
        match bytes {
            [] => "empty",
            // Before UTF-16, whose mark begins in the same way.
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
            [0, 0, 0, 1..=0xff, ..] | [1..=0xff, 0, 0, 0, ..] => "UTF-32",
            [0, 1..=0xff, 0, 1..=0xff, ..] | [1..=0xff, 0, 1..=0xff, 0, ..] => "UTF-16",
            [0x1f, 0x8b, ..] => "gzip",
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => "zlib",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
            [b'P', b'K', 3, 4, ..] => "zip",
            _ => kind_of_text(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
        }
    }
}

fn kind_of_text(bytes: &[u8]) -> &'static str {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let is_utf8 = match str::from_utf8(bytes) {
        Ok(_) => true,
        // A character that is cut off at the end.
        Err(error) => error.error_len().is_none(),
    };
    let text = bytes.trim_ascii_start().to_ascii_lowercase();
    let starts_with = |prefix: &[u8]| text.starts_with(prefix);
    let is_json = |text: &[u8]| {
        matches!(text, [b'{' | b'[' | b'"' | b'-' | b'0'..=b'9', ..])
            || [&b"true"[..], b"false", b"null"]
                .iter()
                .any(|word| text.starts_with(word))
    };
    match () {
        () if bytes.iter().any(is_control) => "binary",
        () if !is_utf8 => "text that is not UTF-8",
        () if text.is_empty() => "white space",
        () if is_json(&text) => "JSON",
        () if starts_with(b"<!doctype html") || starts_with(b"<html") || starts_with(b"<head") => {
            "HTML"
        }
        () if starts_with(b"<") => "XML or HTML",
        () => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> &'static str {
        // One by one, as in chunks.
        let mut first = FirstBytes::default();
        for byte in bytes {
            first.add(&[*byte]);
        }
        let mut whole = FirstBytes::default();
        whole.add(bytes);
        assert_eq!(first.kind(), whole.kind());
        whole.kind()
    }

    #[test]
    fn a_body_is_named_by_its_first_bytes() {
        let utf16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b" \r\n", "white space"),
            (b"[{\"id\":1}]", "JSON"),
            (b"\xef\xbb\xbf [1]", "JSON"),
            (b"null", "JSON"),
            (b"-1", "JSON"),
            (b"\n<!DOCTYPE html><html><body>Please log in", "HTML"),
            (b"<HTML>", "HTML"),
            (b"<?xml version=\"1.0\"?>", "XML or HTML"),
            (b"Service unavailable", "text"),
            ("Größe und noch mehr Text äöüäöüäöü".as_bytes(), "text"),
            (b"caf\xe9 au lait", "text that is not UTF-8"),
            (b"\x1f\x8b\x08\x00\x00", "gzip"),
            (b"\x78\x9c\x8b\xae", "zlib"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (b"PK\x03\x04", "zip"),
            (b"\x0a\x05hello\x10\x01", "binary"),
            (b"\xff\xfe[\0", "UTF-16"),
            (b"\xfe\xff\0[", "UTF-16"),
            (b"\xff\xfe\0\0[\0\0\0", "UTF-32"),
            (b"\0\0\0[", "UTF-32"),
            (&utf16("[{\"id\":1}]"), "UTF-16"),
        ] {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }
}
