//! Numbers for people.

/// `1 flight`, `2 flights`.
pub(super) fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// `12 ms`, `1.24 s`.
pub(super) fn milliseconds(milliseconds: u64) -> String {
    if milliseconds < 1_000 {
        return format!("{milliseconds} ms");
    }
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000 / 10);
    match rest {
        0 => format!("{seconds} s"),
        _ => format!("{seconds}.{rest:02} s").replace("0 s", " s"),
    }
}

/// Seconds in the same form; in microseconds below a millisecond.
pub(super) fn seconds(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a measured time: not negative, and far below 2^64"
    )]
    let microseconds = (seconds * 1_000_000.0).round() as u64;
    match microseconds {
        0 => "0 ms".to_owned(),
        1..1_000 => format!("{microseconds} µs"),
        _ => milliseconds(microseconds / 1_000),
    }
}

/// `50 %`, `0.4 %`; `0 %` of zero.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share, printed with a digit or two"
    )]
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        0.0 => "0 %".to_owned(),
        share if share < 0.1 => "under 0.1 %".to_owned(),
        share if share < 1.0 => format!("{share:.1} %"),
        // 100 % means all, without rounding.
        share => format!(
            "{:.0} %",
            if part < whole { share.min(99.0) } else { share }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_up_to_three_significant_digits() {
        let shown = [0, 999, 1_000, 1_240, 1_500, 10_005, 60_000].map(milliseconds);
        assert_eq!(
            shown,
            ["0 ms", "999 ms", "1 s", "1.24 s", "1.5 s", "10 s", "60 s"]
        );
        let shown = [0.0, 0.000_25, 0.012, 31.2].map(seconds);
        assert_eq!(shown, ["0 ms", "250 µs", "12 ms", "31.2 s"]);
    }

    #[test]
    fn percentages_are_0_or_100_only_if_they_are_exact() {
        let shown = [
            (1, 2),
            (1, 300),
            (1, 3_000),
            (2, 3),
            (999, 1_000),
            (5, 5),
            (0, 5),
            (0, 0),
        ];
        let shown = shown.map(|(part, whole)| percent(part, whole));
        assert_eq!(
            shown,
            [
                "50 %",
                "0.3 %",
                "under 0.1 %",
                "67 %",
                "99 %",
                "100 %",
                "0 %",
                "0 %"
            ]
        );
    }
}
