//! [`StderrEnds`]: the first and the last lines that a guest writes to standard error, for the log line of a crash.
//!
//! The reason is at either end: JavaScript engines print it first, and then what their own crash causes; Python prints it
//! after the calls that led to it.

use std::collections::VecDeque;

use crate::printable::printable;

/// How many lines are kept from the beginning.
const FIRST_LINES: usize = 4;

/// How many lines are kept from the end.
const LAST_LINES: usize = 8;

/// How much of a line is kept, in bytes: 1 KiB. With it, what is kept has at most 13 KiB.
const MAX_LINE_BYTES: usize = 1 << 10;

/// The first and the last lines, without empty ones. What a guest writes beyond the limit of its log counts, too: the
/// reason of its crash comes last.
#[derive(Debug, Default)]
pub(super) struct StderrEnds {
    first: Vec<Vec<u8>>,
    last: VecDeque<Vec<u8>>,
    /// How many lines between them are not kept.
    left_out: usize,
    /// The beginning of the line that is not finished.
    line: Vec<u8>,
}

impl StderrEnds {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE_BYTES - self.line.len();
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            // Its memory is used for the next line.
            self.line = line;
            self.line.clear();
        } else if self.first.len() < FIRST_LINES {
            self.first.push(line);
        } else {
            if self.last.len() == LAST_LINES {
                self.left_out += 1;
                self.line = self.last.pop_front().unwrap_or_default();
                self.line.clear();
            }
            self.last.push_back(line);
        }
    }

    /// All of them on one line, printable, with the number of lines that are left out.
    pub(super) fn text(&mut self) -> String {
        self.end_line();
        let printed = |line: &Vec<u8>| printable(&String::from_utf8_lossy(line));
        let left_out = (self.left_out > 0).then(|| format!("({} lines left out)", self.left_out));
        let first = self.first.iter().map(printed);
        let last = self.last.iter().map(printed);
        let all: Vec<_> = first.chain(left_out).chain(last).collect();
        all.join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &[&str]) -> String {
        let mut ends = StderrEnds::default();
        for part in written {
            ends.write(part.as_bytes());
        }
        ends.text()
    }

    #[test]
    fn few_lines_are_kept_as_they_are() {
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["a", "b\nc\n\n  \r\nd\x1b"]), "ab | c | d\\u{1b}");
        let twelve = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12";
        assert_eq!(text(&[twelve]), twelve.replace('\n', " | "));
    }

    // fault 127
    #[test]
    fn of_many_lines_the_first_and_the_last_ones_are_kept() {
        let many: String = (0..1_000).map(|number| format!("{number}\n")).collect();
        let expected = "0 | 1 | 2 | 3 | (988 lines left out) | \
                        992 | 993 | 994 | 995 | 996 | 997 | 998 | 999";
        assert_eq!(text(&[&many]), expected);
    }

    // fault 127
    #[test]
    fn a_line_is_kept_up_to_a_length() {
        let mut ends = StderrEnds::default();
        for _ in 0..100 {
            ends.write(&[b'a'; 5_000]);
        }
        assert_eq!(ends.line.len(), MAX_LINE_BYTES);
        ends.write(b"\nb");
        assert_eq!(ends.text(), "a".repeat(MAX_LINE_BYTES) + " | b");
    }
}
