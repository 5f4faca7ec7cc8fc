//! Durations and sizes as people write them: `250ms`, `10s`, `64 KiB`.

use std::time::Duration;

const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// What a duration needs to be, for whoever wrote something else.
pub const A_DURATION: &str = "a number with ms, s, m or h, as in \"250ms\"";

/// What a size needs to be.
pub(crate) const A_SIZE: &str = "a number with B, KiB, MiB or GiB, as in \"64 KiB\"";

/// Reads `250ms`, `10s`, `5m` or `1h`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    measured(text, &TIMES).map(Duration::from_millis)
}

/// `512 B`, `64 KiB`, `8 MiB`, `1 GiB`.
pub(crate) fn bytes(text: &str) -> Option<usize> {
    measured(text, &SIZES)?.try_into().ok()
}

/// The shortest text that [`duration`] reads as this one, to the millisecond.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (number, unit) = in_largest(milliseconds, &TIMES);
    format!("{number}{unit}")
}

/// The shortest text that [`bytes`] reads as this many.
pub(crate) fn show_bytes(bytes: usize) -> String {
    let (number, unit) = in_largest(bytes as u64, &SIZES);
    format!("{number} {unit}")
}

fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that it is a whole number of; nothing is so in the smallest, which is last.
fn in_largest<'a>(amount: u64, units: &[(&'a str, u64)]) -> (u64, &'a str) {
    let (smallest, _) = units[units.len() - 1];
    let whole = |(_, factor): &&(&str, u64)| amount > 0 && amount.is_multiple_of(*factor);
    match units.iter().find(whole) {
        Some((name, factor)) => (amount / factor, name),
        None => (amount, smallest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for text in ["0ms", "1ms", "1500ms", "10s", "90s", "2m", "1h", "25h"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in [
            "0 B", "1 B", "1000 B", "64 KiB", "1025 KiB", "8 MiB", "3 GiB",
        ] {
            assert_eq!(show_bytes(bytes(text).unwrap()), text);
        }
        assert_eq!(bytes("8MiB"), Some(8 << 20));
    }

    #[test]
    fn a_number_without_a_unit_or_with_another_is_none_at_all() {
        for text in [
            "",
            "10",
            "s",
            "10 sec",
            "-1s",
            "1.5s",
            "10S",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["64", "64 KB", "64 kib", "18446744073709551615 GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
