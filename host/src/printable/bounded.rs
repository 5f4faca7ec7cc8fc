//! [`bounded`]: text about what others wrote, limited while it is written. A file of 90 KB can contain a type that is
//! gigabytes as text, so cutting the text afterwards would be too late.

use std::fmt::{self, Display, Write};

use super::MAX_TEXT_BYTES;

/// What ends a text that was cut. Counting the rest would mean to write it.
const CUT: &str = " … (cut at 4 KiB)";

/// `value` as text, at most 4 KiB of it. What does not fit is not written: the writer returns an error, which ends
/// the walk of a [`Display`] that passes errors on.
pub(crate) fn bounded(value: impl Display) -> String {
    let mut text = BoundedText::default();
    match write!(text, "{value}") {
        Ok(()) => text.0,
        Err(fmt::Error) => text.cut(),
    }
}

/// A text that refuses what exceeds the limit.
#[derive(Debug, Default)]
struct BoundedText(String);

impl BoundedText {
    /// The part that fits, with a note that it is one.
    fn cut(mut self) -> String {
        let room = MAX_TEXT_BYTES - CUT.len();
        self.0.truncate(self.0.floor_char_boundary(room));
        self.0 + CUT
    }
}

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT_BYTES - self.0.len();
        let fitting = &text[..text.floor_char_boundary(room)];
        self.0.push_str(fitting);
        if fitting.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Writes `ü` without end, and counts how often.
    struct Endless<'a>(&'a Cell<usize>);

    impl Display for Endless<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                self.0.set(self.0.get() + 1);
                f.write_char('ü')?;
            }
        }
    }

    // fault 98
    #[test]
    fn a_text_ends_at_its_limit_and_so_does_writing_it() {
        let written = Cell::new(0);
        let text = bounded(Endless(&written));
        assert_eq!(written.get(), MAX_TEXT_BYTES / 2 + 1);
        let kept = text.strip_suffix(CUT).unwrap();
        assert!(kept.chars().all(|char| char == 'ü'));
        assert!((MAX_TEXT_BYTES - 1..=MAX_TEXT_BYTES).contains(&text.len()));
    }

    #[test]
    fn a_text_within_the_limit_is_whole() {
        for length in [0, 1, MAX_TEXT_BYTES] {
            let text = "a".repeat(length);
            assert_eq!(bounded(&text), text);
        }
    }
}
