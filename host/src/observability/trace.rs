//! The trace context (W3C Trace Context, level 1): what callers say of the span that they ask from, and
//! what upstreams are told of the span that asks them.
//!
//! Of what a caller sends, its own span takes the ids over, and nothing else does: `tracestate` and
//! `baggage` are not read, and a flight, which has many callers, is a trace of its own.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header that says it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ids of one span, and whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// Ids that no other span has, of this process or of another. They count as recorded: a client names
    /// an upstream in order to find its calls there.
    pub(crate) fn new() -> Self {
        // Keyed by the system's randomness, so nobody outside can tell one id from another.
        static KEYS: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [high, low, span] = KEYS.each_ref().map(|key| key.hash_one(number));
        Self {
            // All zeros stand for no trace at all.
            trace: (u128::from(high) << 64 | u128::from(low)).max(1),
            span: span.max(1),
            sampled: true,
        }
    }

    /// That of `span`, where spans are traced.
    pub(crate) fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let traced = context.span();
        let context = traced.span_context();
        context.is_valid().then(|| Self {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        })
    }

    /// What a request says. What is not of the standard's form, or is said twice, is not said.
    pub(crate) fn said_in(headers: &HeaderMap) -> Option<Self> {
        let mut said = headers.get_all(TRACEPARENT).iter();
        match (said.next(), said.next()) {
            (Some(value), None) => Self::parse(value.to_str().ok()?),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let context = Self {
            trace: hex(parts.next()?, 32).filter(|trace| *trace != 0)?,
            span: u64::try_from(hex(parts.next()?, 16).filter(|span| *span != 0)?).ok()?,
            sampled: hex(parts.next()?, 2)? & 1 == 1,
        };
        // A later version may say more after this; 255 is none.
        let well_formed = match version {
            0 => parts.next().is_none(),
            version => version != 0xff,
        };
        well_formed.then_some(context)
    }

    /// The value of `traceparent`.
    pub(crate) fn header(self) -> HeaderValue {
        let Self {
            trace,
            span,
            sampled,
        } = self;
        let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
        HeaderValue::try_from(text).expect("digits and dashes")
    }

    /// Calls `make`. Where spans are traced, one that it makes is a child of this one.
    fn around<T>(self, make: impl FnOnce() -> T) -> T {
        let context = SpanContext::new(
            TraceId::from_bytes(self.trace.to_be_bytes()),
            SpanId::from_bytes(self.span.to_be_bytes()),
            TraceFlags::default().with_sampled(self.sampled),
            true,
            TraceState::NONE,
        );
        let _current = Context::new().with_remote_span_context(context).attach();
        make()
    }
}

/// Calls `make`, around which the caller's context stands, where there is one. In a box, because the
/// requests that wait have to carry it until then, and most have none.
pub(crate) fn under<T>(parent: Option<Box<TraceContext>>, make: impl FnOnce() -> T) -> T {
    match parent {
        Some(parent) => parent.around(make),
        None => make(),
    }
}

/// The number that is written in so many hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
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

    fn said(lines: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                TRACEPARENT,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        TraceContext::said_in(&headers)
    }

    #[test]
    fn a_context_is_of_the_form_that_the_standard_asks_for_and_never_the_same() {
        let (one, other) = (TraceContext::new(), TraceContext::new());
        assert_ne!(one.trace, other.trace);
        assert_ne!(one.span, other.span);
        assert_eq!(said(&[one.header().to_str().unwrap()]), Some(one));
        let least = TraceContext {
            trace: 1,
            span: 1,
            sampled: false,
        };
        assert_eq!(least.header(), format!("00-{:0>32}-{:0>16}-00", 1, 1));
        assert_eq!(least.to_string(), format!("{:0>32}", 1));
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_context_of_this_version_or_a_later_one_is_read() {
        for (text, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), false),
            // Flags that are not known are passed over.
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("00-{TRACE}-{SPAN}-03"), true),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-and-more"), true),
        ] {
            let context = said(&[&text]).unwrap();
            assert_eq!(context.to_string(), TRACE, "{text}");
            assert_eq!(format!("{:016x}", context.span), SPAN, "{text}");
            assert_eq!(context.sampled, sampled, "{text}");
        }
    }

    #[test]
    fn a_context_of_another_form_is_none() {
        let (none, short) = ("0".repeat(32), &TRACE[1..]);
        for text in [
            String::new(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-and-more"),
            format!("cc-{TRACE}-{SPAN}-01and-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("00-{none}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &none[16..]),
            format!("00-{short}-{SPAN}-01"),
            format!("00-+{short}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-\u{e9}1"),
        ] {
            assert_eq!(said(&[&text]), None, "{text:?}");
        }
        assert_eq!(said(&[]), None);
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(said(&[&good, &good]), None);
    }
}
