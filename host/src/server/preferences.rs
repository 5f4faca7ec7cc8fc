//! [`RequestPreferences`]: headers by which a caller chooses how it is served. None of them reaches the client.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preferences in a request's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestPreferences {
    /// RFC 7240, section 4.3: `Prefer: wait=SECONDS` is the time within which the caller expects a response.
    pub(super) wait: Option<Duration>,
    /// RFC 9111, section 5.2.1.4: with `Cache-Control: no-cache` the caller accepts no stored response; here, none
    /// of a flight that was opened before.
    pub(super) fresh: bool,
}

impl RequestPreferences {
    /// RFC 7240, section 2: an unknown or malformed preference is ignored. RFC 9111, section 5.2.3: so is an unknown
    /// directive.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // RFC 7240, section 2: of two preferences with the same name the first counts.
        let wait = members(headers, &PREFER).find(|member| has_name(member, "wait"));
        Self {
            wait: wait.and_then(|(_, value)| seconds(value?)),
            fresh: members(headers, &CACHE_CONTROL).any(|member| has_name(&member, "no-cache")),
        }
    }
}

/// A member of a list: its name, and its value if it has one, without parameters.
type Member<'a> = (&'a [u8], Option<&'a [u8]>);

fn has_name((name, _): &Member<'_>, expected: &str) -> bool {
    name.eq_ignore_ascii_case(expected.as_bytes())
}

/// RFC 9110, section 5.3: the members of a list, in order, whether it is on one line or on several.
fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Member<'a>> + use<'a> {
    let lines = headers.get_all(name).into_iter();
    let members = lines.flat_map(|line| parts(line.as_bytes(), b','));
    members.map(|member| {
        let member = parts(member, b';').next().unwrap_or_default();
        let mut sides = member.splitn(2, |byte| *byte == b'=');
        let name = sides.next().unwrap_or_default().trim_ascii();
        (name, sides.next().map(<[u8]>::trim_ascii))
    })
}

/// The parts between separators outside of quoted strings.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && *byte == b'\\';
        quoted ^= *byte == b'"';
        *byte == separator && !quoted
    })
}

/// A number of seconds, with or without quotes. A number beyond `u32` counts as its maximum, about 136 years.
fn seconds(value: &[u8]) -> Option<Duration> {
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let digits = quoted.unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u32, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn preferences(name: HeaderName, lines: &[&str]) -> RequestPreferences {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        RequestPreferences::of(&headers)
    }

    fn wait(lines: &[&str]) -> Option<u64> {
        preferences(PREFER, lines).wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_read_from_any_position_in_the_list() {
        for lines in [
            &["wait=5"][..],
            &["WAIT = 5"],
            &["wait=\"5\""],
            &["wait=5; foo=\"bar, wait=9\""],
            &["respond-async, wait=5", "wait=9"],
            &[
                "foo=\"a \\\" , wait=9\"; bar",
                " , wait=5,, handling=lenient",
            ],
            &["foo=\"\u{e9}\", wait=005"],
            &["waits=9; wait=9, wait=5, wait=7"],
        ] {
            assert_eq!(wait(lines), Some(5), "{lines:?}");
        }
        assert_eq!(wait(&["wait=0"]), Some(0));
        assert_eq!(wait(&["wait=99999999999999999999"]), Some(u32::MAX.into()));
    }

    #[test]
    fn a_wait_that_is_no_number_of_seconds_is_ignored() {
        for lines in [
            &[][..],
            &[""],
            &["wait"],
            &["wait="],
            &["wait=\"\""],
            &["wait=-1"],
            &["wait=1.5"],
            &["wait=\"5"],
            &["wait=\""],
            &["wait=soon, wait=5"],
            &["foo; wait=5"],
            &["\"wait=5\""],
        ] {
            assert_eq!(wait(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn no_cache_requests_a_fresh_flight() {
        let fresh = |lines: &[&str]| preferences(CACHE_CONTROL, lines).fresh;
        assert!(fresh(&["no-cache"]));
        assert!(fresh(&["max-age=0", "max-stale, No-Cache=\"x\""]));
        assert!(!fresh(&[]));
        assert!(!fresh(&["no-store, max-age=0, foo=\"no-cache, no-cache\""]));
    }
}
