//! The log on stderr, and the layer that records spans for traces.

use std::io::IsTerminal;

use oneflight::config::LogFormat;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt, FilterFn, Targets, filter_fn};
use tracing_subscriber::layer::{Filter, Layer, Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Only oneflight's own events: at finer levels its dependencies log calls with their arguments, which include keys
/// and settings.
pub(super) fn at_level(level: LevelFilter) -> Targets {
    Targets::new().with_target("oneflight", level)
}

/// For commands that print the results of calls themselves, so that a line per flight would repeat them.
pub(super) fn quiet() -> Targets {
    at_level(LevelFilter::WARN).with_target("oneflight::client::telemetry", LevelFilter::OFF)
}

/// Starts the log on stderr, with colours only on a terminal; and traces, if there is a tracer.
pub(super) fn start(targets: Targets, format: LogFormat, tracer: Option<SdkTracer>) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    subscriber(lines, targets, tracer).init();
}

/// Writes events of `targets` to `lines`, and records spans if there is a tracer. It has a list of layers: an `Option`
/// of a layer that is `None` would enable every span, even if no layer records it.
fn subscriber(
    lines: impl Layer<Registry> + Send + Sync,
    targets: Targets,
    tracer: Option<SdkTracer>,
) -> Layered<Vec<Box<dyn Layer<Registry> + Send + Sync>>, Registry> {
    let mut layers = vec![lines.with_filter(without_callers(targets)).boxed()];
    layers.extend(tracer.map(|tracer| spans(tracer).boxed()));
    tracing_subscriber::registry().with(layers)
}

/// All `targets` except the spans of callers: no event is logged within them, and the log would format their fields
/// for nothing.
fn without_callers<S: Subscriber>(targets: Targets) -> impl Filter<S> {
    targets.and(only(|metadata| {
        !(metadata.is_span() && metadata.name() == "caller")
    }))
}

/// Records oneflight's own spans, independently of the log's level. It records no events: a guest's messages and the
/// reasons of failures are for the log.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(tracer: SdkTracer) -> impl Layer<S> {
    OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // A span's parent is the span that it is created in. OpenTelemetry's current context is only set from a
        // caller's trace context.
        .with_context_activation(false)
        .with_filter(at_level(LevelFilter::DEBUG).and(only(|metadata| metadata.is_span())))
}

/// A filter of this predicate. Without a level hint, every span of every crate would be checked each time, even if
/// none is enabled.
fn only(predicate: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(predicate).with_max_level_hint(LevelFilter::TRACE)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Calls `check` with a log at level info, and with traces if there is a tracer.
    fn within(tracer: Option<SdkTracer>, check: impl FnOnce()) {
        let lines = tracing_subscriber::fmt::layer();
        let subscriber = subscriber(lines, at_level(LevelFilter::INFO), tracer);
        tracing::subscriber::with_default(subscriber, check);
    }

    // One test, in which each callsite is used once: the process caches whether a callsite is enabled.
    #[test]
    fn traces_record_spans_below_the_logs_level_and_no_events() {
        let tracer = SdkTracerProvider::builder().build().tracer("oneflight");
        within(Some(tracer), || {
            assert!(!tracing::debug_span!("upstream request").is_disabled());
            assert!(!tracing::info_span!("caller").is_disabled());
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
        });
        within(None, || {
            assert!(tracing::debug_span!("upstream request").is_disabled());
            assert!(tracing::info_span!("caller").is_disabled());
            assert!(!tracing::info_span!("flight").is_disabled());
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            assert_eq!(LevelFilter::current(), LevelFilter::INFO);
        });
    }
}
