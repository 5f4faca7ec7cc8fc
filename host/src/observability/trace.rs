//! Trace context (W3C Trace Context, level 1): read from the `traceparent` of callers, and sent to upstreams.
//!
//! Only the span of a caller continues the caller's trace. A flight has many callers and therefore its own trace.
//! `tracestate` and `baggage` are not read.
//!
//! The parser is our own. `TraceContextPropagator` of `opentelemetry_sdk` 0.33 accepts what the standard's grammar
//! excludes: ids and flags with fewer digits or a plus sign, white space around the value, and a dash at its end. It
//! also takes `tracestate` over. A check of the grammar in front of it would be this parser.

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

/// The header with a trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ids of one span, and whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// New ids, unique across processes. The span counts as sampled: a client lists an upstream in `trace` in order to
    /// find its calls there.
    pub(crate) fn new() -> Self {
        // With random keys of the system, so that ids cannot be predicted.
        static KEYS: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [high, low, span] = KEYS.each_ref().map(|key| key.hash_one(number));
        Self {
            // All zeros mean no trace.
            trace: (u128::from(high) << 64 | u128::from(low)).max(1),
            span: span.max(1),
            sampled: true,
        }
    }

    /// The context of `span`, if spans are traced.
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

    /// The context in a request's headers. A `traceparent` that is malformed or repeated is ignored.
    pub(crate) fn extract(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
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
        // A later version may have more fields; 255 is invalid.
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

    /// Calls `make`. If spans are traced, a span that it creates is a child of this one.
    fn attach<T>(self, make: impl FnOnce() -> T) -> T {
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

/// Calls `make` with the caller's context, if there is one, as the parent of the spans that it creates. In a box,
/// because a request keeps it until then, and most have none.
pub(crate) fn with_parent<T>(parent: Option<Box<TraceContext>>, make: impl FnOnce() -> T) -> T {
    match parent {
        Some(parent) => parent.attach(make),
        None => make(),
    }
}

/// A number in exactly this many hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// The trace's id, as in the header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(lines: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                TRACEPARENT,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        TraceContext::extract(&headers)
    }

    #[test]
    fn a_context_has_the_form_of_the_standard_and_is_unique() {
        let (one, other) = (TraceContext::new(), TraceContext::new());
        assert_ne!(one.trace, other.trace);
        assert_ne!(one.span, other.span);
        assert_eq!(extract(&[one.header().to_str().unwrap()]), Some(one));
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
            // Unknown flags are ignored.
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("00-{TRACE}-{SPAN}-03"), true),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-and-more"), true),
        ] {
            let context = extract(&[&text]).unwrap();
            assert_eq!(context.to_string(), TRACE, "{text}");
            assert_eq!(format!("{:016x}", context.span), SPAN, "{text}");
            assert_eq!(context.sampled, sampled, "{text}");
        }
    }

    #[test]
    fn a_malformed_or_repeated_context_is_ignored() {
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
            assert_eq!(extract(&[&text]), None, "{text:?}");
        }
        assert_eq!(extract(&[]), None);
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(extract(&[&good, &good]), None);
    }
}
