//! Text that is safe to print. What a guest prints, names in a component, items and names of files are written by
//! others: a log or a terminal must not interpret their control characters, and no reader may see another text, or
//! more lines, than there are.

mod bounded;

use std::borrow::Cow;
use std::fmt::Write;

pub(crate) use self::bounded::bounded;

/// The longest text that is logged, in bytes: the text of an error can be as large as any result.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 10;

/// `text` on one line, at most 4 KiB of it, with what is not [printable](is_printable) escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    escape(text.trim_end(), Escape::Rust, |_| true).into_owned()
}

/// How a character is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As in a string of Rust: `\u{202e}`.
    Rust,
    /// As in a string of JSON: `\u202e`. The text may be a JSON document: its strings keep their meaning.
    Json,
}

/// `text` in which those characters are escaped that are not [printable](is_printable) and for which `is_escaped`
/// returns true.
pub fn escape(text: &str, form: Escape, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_kept = |char, before| is_printable(char) || is_joiner(char, before) || !is_escaped(char);
    let mut before = None;
    let is_clean = text.chars().all(|char| is_kept(char, before.replace(char)));
    if is_clean {
        return Cow::Borrowed(text);
    }
    let mut before = None;
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_kept(char, before.replace(char)) {
            escaped.push(char);
        } else if form == Escape::Rust {
            escaped.extend(char.escape_default());
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(escaped)
}

/// `text` of several lines, with all escaped that is not [printable](is_printable) but its line breaks.
#[must_use]
pub fn escape_lines(text: &str, form: Escape) -> Cow<'_, str> {
    escape(text, form, |char| char != '\n')
}

/// Whether a character neither controls a terminal (category Cc), nor changes the order of those around it or hides
/// (Cf), nor starts a line (Zl, Zp).
#[must_use]
pub fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    !(char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}')
        || FORMAT.iter().any(|range| range.contains(&char)))
}

/// The characters of the category Cf in Unicode 16.0.
const FORMAT: [std::ops::RangeInclusive<char>; 21] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{2064}',
    '\u{2066}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

/// Whether `char` joins or separates the shapes of its neighbours, as in an emoji of several people and in words of
/// Persian or Hindi. After a character of ASCII it only hides.
fn is_joiner(char: char, before: Option<char>) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}')
        && before.is_some_and(|before| !before.is_ascii() && is_printable(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_truncated_at_a_character_boundary() {
        assert_eq!(
            printable(&"ü".repeat(MAX_TEXT_BYTES)),
            "ü".repeat(MAX_TEXT_BYTES / 2)
        );
    }

    #[test]
    fn terminal_escape_sequences_are_escaped() {
        assert_eq!(
            printable("\x1b[31mred\x1b[0m\r\n"),
            "\\u{1b}[31mred\\u{1b}[0m"
        );
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn characters_that_reorder_hide_or_break_a_line_are_escaped() {
        for (text, expected) in [
            ("a\u{202e}b\u{2066}c", r"a\u{202e}b\u{2066}c"),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("\u{feff}a\u{200b}b\u{ad}c", r"\u{feff}a\u{200b}b\u{ad}c"),
            ("ad\u{200d}min", r"ad\u{200d}min"),
            ("a\u{e0041}b", r"a\u{e0041}b"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn text_of_any_language_and_emoji_stay_readable() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        let persian = "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}";
        for text in ["ü é 日本語 😀 \u{2764}\u{fe0f} שלום", family, persian] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"a\":\"\u{202e}\u{9b}\u{e0041}\u{7f}\"}";
        let escaped = escape(text, Escape::Json, |_| true);
        assert_eq!(escaped, r#"{"a":"\u202e\u009b\udb40\udc41\u007f"}"#);
        let [before, after] =
            [text, &escaped].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
        assert_eq!(before, after);
    }
}
