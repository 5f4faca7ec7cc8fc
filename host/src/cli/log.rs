//! The log: what it shows, and how its lines look. Beside it, the spans for traces.

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

/// Only what oneflight itself says: at the finer levels the crates below it print calls with their
/// arguments, and keys and settings are among those.
pub(super) fn from(level: LevelFilter) -> Targets {
    Targets::new().with_target("oneflight", level)
}

/// For commands that print themselves what came of each call, so that a line per flight says it twice.
pub(super) fn quiet() -> Targets {
    from(LevelFilter::WARN).with_target("oneflight::client::telemetry", LevelFilter::OFF)
}

/// Starts the log on stderr, coloured only on a terminal; and traces, where there is a tracer.
pub(super) fn start(shown: Targets, format: LogFormat, tracer: Option<SdkTracer>) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    subscriber(lines, shown, tracer).init();
}

/// What takes the `lines` that are `shown`, and spans where there is a tracer. A list of layers, because a span
/// that none of them takes would be made all the same where one of them may be no layer.
fn subscriber(
    lines: impl Layer<Registry> + Send + Sync,
    shown: Targets,
    tracer: Option<SdkTracer>,
) -> Layered<Vec<Box<dyn Layer<Registry> + Send + Sync>>, Registry> {
    let mut layers = vec![lines.with_filter(in_lines(shown)).boxed()];
    layers.extend(tracer.map(|tracer| spans(tracer).boxed()));
    tracing_subscriber::registry().with(layers)
}

/// What is `shown`, but for the spans of callers: no line stands in one of them, and the log would write down
/// the fields of each for nothing.
fn in_lines<S: Subscriber>(shown: Targets) -> impl Filter<S> {
    shown.and(only(|metadata| {
        !(metadata.is_span() && metadata.name() == "caller")
    }))
}

/// The spans of oneflight's own, whatever the log shows. No events: what a guest says and why something
/// failed is for the log.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(tracer: SdkTracer) -> impl Layer<S> {
    OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // A span's parent is the span that it is made in. OpenTelemetry's own idea of what is current is
        // left to what a caller says.
        .with_context_activation(false)
        .with_filter(from(LevelFilter::DEBUG).and(only(|metadata| metadata.is_span())))
}

/// What `shown` says yes to. A filter that does not say which levels it lets through would have every span
/// of every crate looked at each time, also where nothing is shown at all.
fn only(shown: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(shown).with_max_level_hint(LevelFilter::TRACE)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Calls `look` where the log shows info, beside traces where there is a tracer.
    fn within(tracer: Option<SdkTracer>, look: impl FnOnce()) {
        let lines = tracing_subscriber::fmt::layer();
        let subscriber = subscriber(lines, from(LevelFilter::INFO), tracer);
        tracing::subscriber::with_default(subscriber, look);
    }

    // One test, and each place looked at once: whether a place is enabled is kept for it by the process.
    #[test]
    fn traces_take_spans_that_the_log_does_not_show_and_no_lines() {
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
