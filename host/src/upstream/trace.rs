//! The trace context of a flight, for the upstreams that its client names: who looks at their traces
//! finds the calls that oneflight made, and in its log the flight that made them.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// The ids of one flight (W3C Trace Context, level 1).
///
/// They say nothing about callers: a flight has many, and takes none of their contexts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    trace: u128,
    span: u64,
}

impl TraceContext {
    /// Ids that no other flight has, of this process or of another.
    pub(super) fn new() -> Self {
        // Keyed by the system's randomness, so nobody outside can tell one id from another.
        static KEYS: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [high, low, span] = KEYS.each_ref().map(|key| key.hash_one(number));
        Self {
            // All zeros stand for no trace at all.
            trace: (u128::from(high) << 64 | u128::from(low)).max(1),
            span: span.max(1),
        }
    }

    /// The value of `traceparent`. It says that the trace is recorded: a client names an upstream in
    /// order to find its calls there.
    pub(super) fn header(self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-01", self.trace, self.span);
        HeaderValue::try_from(text).expect("digits and dashes")
    }
}

/// The trace's id, as it stands in the header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_of_the_form_that_the_standard_asks_for_and_never_the_same() {
        let (one, other) = (TraceContext::new(), TraceContext::new());
        assert_ne!(one.trace, other.trace);
        assert_ne!(one.span, other.span);
        let header = one.header();
        let parts: Vec<_> = header.to_str().unwrap().split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2]
        );
        assert_eq!((parts[0], parts[3]), ("00", "01"));
        assert_eq!(parts[1], one.to_string());
        let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(parts.iter().all(is_hex), "{parts:?}");
        let least = TraceContext { trace: 1, span: 1 }.header();
        assert_eq!(least, format!("00-{:0>32}-{:0>16}-01", 1, 1));
    }
}
