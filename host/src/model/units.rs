//! Durations and sizes as people write them: `250ms`, `10s`, `64 KiB`.

use std::time::Duration;

const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The form that [`duration`] reads, for messages.
pub const A_DURATION: &str = "a number with ms, s, m or h, as in \"250ms\"";

/// The form that [`bytes`](fn@bytes) reads, for messages.
pub const A_SIZE: &str = "a number with B, KiB, MiB or GiB, as in \"64 KiB\"";

/// Reads `250ms`, `10s`, `5m` or `1h`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    measured(text, &TIMES).map(Duration::from_millis)
}

/// Reads `512 B`, `64 KiB`, `8 MiB` or `1 GiB`.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    measured(text, &SIZES)
}

/// The shortest text that [`duration`] reads as this one, to the millisecond.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (number, unit) = in_largest(milliseconds, &TIMES);
    format!("{number}{unit}")
}

/// The shortest text that [`bytes`](fn@bytes) reads as this many.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    let (number, unit) = in_largest(bytes, &SIZES);
    format!("{number} {unit}")
}

fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `amount` in the largest unit of which it is a whole multiple; zero in the smallest unit, which is last.
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
    fn reading_what_is_shown_gives_the_same_amount() {
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
    fn a_number_without_a_known_unit_is_refused() {
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
