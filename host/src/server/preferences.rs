//! [`RequestPreferences`]: what a caller may ask for beside its key. None of it reaches the client.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What the head of a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestPreferences {
    /// `Prefer: wait=SECONDS` (RFC 7240): to be answered by then, whatever the answer.
    pub(super) wait: Option<Duration>,
    /// `Cache-Control: no-cache` (RFC 9111): an answer that was not on its way before it was asked for.
    pub(super) anew: bool,
}

impl RequestPreferences {
    /// A wish that is not known or not understood is none: neither RFC lets it fail the request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // Of two that have one name the first counts.
        let wait = members(headers, &PREFER).find(|member| has_name(member, "wait"));
        Self {
            wait: wait.and_then(|(_, value)| seconds(value?)),
            anew: members(headers, &CACHE_CONTROL).any(|member| has_name(&member, "no-cache")),
        }
    }
}

/// A member of a list: its name, and its value where it has one. Parameters are left out.
type Member<'a> = (&'a [u8], Option<&'a [u8]>);

fn has_name((name, _): &Member<'_>, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

/// The members of a header that is a list, in order, on however many lines it stands.
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

/// What stands between separators that are in no quoted string.
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

/// A number of seconds, bare or quoted. One that is too large to count is for ever in practice, and the
/// largest that can be counted stands for it.
fn seconds(value: &[u8]) -> Option<Duration> {
    let bare = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let digits = bare.unwrap_or(value);
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

    fn wishes(name: HeaderName, lines: &[&str]) -> RequestPreferences {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        RequestPreferences::of(&headers)
    }

    fn wait(lines: &[&str]) -> Option<u64> {
        wishes(PREFER, lines).wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn a_deadline_is_found_wherever_it_stands() {
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
    fn a_deadline_that_is_no_number_of_seconds_is_none() {
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
    fn an_answer_of_its_own_is_asked_for_by_no_cache() {
        let anew = |lines: &[&str]| wishes(CACHE_CONTROL, lines).anew;
        assert!(anew(&["no-cache"]));
        assert!(anew(&["max-age=0", "max-stale, No-Cache=\"x\""]));
        assert!(!anew(&[]));
        assert!(!anew(&["no-store, max-age=0, foo=\"no-cache, no-cache\""]));
    }
}
