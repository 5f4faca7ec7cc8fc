//! When an upstream accepts the next request: the `Retry-After` of its response.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// The longest time, in seconds: 2^31 - 1, about 68 years.
///
/// RFC 9111, section 1.2.2: a recipient may store seconds in 31 bits, so callers get no larger number.
const MAX_SECONDS: u64 = (1 << 31) - 1;

/// The time that the first `Retry-After` of these `headers` states, in whole seconds: rounded up, so that no caller
/// returns too early, and at most [`MAX_SECONDS`]. `None` if there is none, or none that can be read.
///
/// RFC 9110, section 10.2.3: the value is a number of seconds or a date. A date is compared with the `Date` of the same
/// response, as both are by the upstream's clock, or else with `now`. Fractions and negative numbers are not valid and
/// are sent nevertheless. A time in the past is zero.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, &header::RETRY_AFTER)?;
    let seconds = match seconds(value) {
        Some(seconds) => seconds,
        None => {
            let then = httpdate::parse_http_date(value).ok()?;
            let date = text(headers, &header::DATE);
            let now = date
                .and_then(|date| httpdate::parse_http_date(date).ok())
                .unwrap_or(now);
            let left = then.duration_since(now).unwrap_or_default();
            left.as_secs() + u64::from(left.subsec_nanos() > 0)
        }
    };
    Some(Duration::from_secs(seconds.min(MAX_SECONDS)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// The number of seconds in `text`, rounded up; a number that is too large is the largest one.
fn seconds(text: &str) -> Option<u64> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    if number.len() < text.len() {
        return Some(0);
    }
    // Only a number that is too large is no `u64`.
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let is_more = fraction.bytes().any(|byte| byte != b'0');
    Some(whole.saturating_add(u64::from(is_more)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds of a response with this `Retry-After`, and with this `Date` if there is one, at
    /// Sun, 06 Nov 1994 08:49:37.25 GMT.
    fn at(value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_250);
        retry_after(&headers, now).map(|time| time.as_secs())
    }

    #[test]
    fn numbers_are_rounded_up_and_limited() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("30", Some(30)),
            (" 30 ", Some(30)),
            ("0.5", Some(1)),
            ("30.0", Some(30)),
            ("30.000001", Some(31)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(2_147_483_647)),
            ("99999999999", Some(2_147_483_647)),
            ("99999999999999999999999999", Some(2_147_483_647)),
            ("-1", Some(0)),
            ("-0.5", Some(0)),
        ] {
            assert_eq!(at(value, None), seconds, "{value}");
        }
        for value in [
            "", "-", ".", "1.", ".5", "+1", "1e3", "30 s", "30s", "NaN", "soon", "1,5",
        ] {
            assert_eq!(at(value, None), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    #[test]
    fn dates_of_every_form_are_compared_with_the_responses_date_or_the_clock() {
        for value in [
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "Sunday, 06-Nov-94 08:50:07 GMT",
            "Sun Nov  6 08:50:07 1994",
        ] {
            // 29.75 s by the clock.
            assert_eq!(at(value, None), Some(30), "{value}");
            assert_eq!(at(value, Some("yesterday")), Some(30), "{value}");
            // The upstream's clock is an hour behind.
            let date = Some("Sun, 06 Nov 1994 07:49:37 GMT");
            assert_eq!(at(value, date), Some(3_630), "{value}");
        }
        assert_eq!(at("Sun, 06 Nov 1994 08:49:36 GMT", None), Some(0));
        assert_eq!(
            at("Fri, 31 Dec 9999 23:59:59 GMT", None),
            Some(2_147_483_647)
        );
        assert_eq!(at("Sun, 06 Nov 1994 08:50:07", None), None);
    }
}
