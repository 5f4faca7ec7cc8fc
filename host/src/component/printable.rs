//! Text that is safe to print: a guest's output and names in a component are written by the guest's author,
//! and a log or a terminal must not interpret their control characters.

/// The longest text that is logged, in bytes: the text of an error can be as large as any result.
pub(super) const MAX_TEXT_BYTES: usize = 4 << 10;

/// `text` on one line, at most [`MAX_TEXT_BYTES`] of it, with control characters escaped.
pub(super) fn printable(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    escape_controls(text.trim_end(), |_| true)
}

/// `text` with those control characters escaped that `is_escaped` returns true for.
pub(super) fn escape_controls(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && is_escaped(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    escaped
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
    }
}
