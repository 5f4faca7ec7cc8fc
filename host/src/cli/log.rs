//! The log on stderr, and the layer that records spans for traces. No line of it stops the program: see
//! [`Stderr`], through which it is written, and [`LineRates`], which limits how many there are.

mod line_rate;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use oneflight::Metrics;
use oneflight::config::LogFormat;
use oneflight::printable::{Escape, escape};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::time::{MissedTickBehavior, interval};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt, FilterFn, Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Filter, Layer, Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

pub(super) use self::line_rate::LineRates;

use self::line_rate::{LeftOut, REPORT};
use super::stderr::{self, Stderr};

/// How often lost lines are counted and reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

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
pub(super) fn start(
    targets: Targets,
    format: LogFormat,
    rates: LineRates,
    tracer: Option<SdkTracer>,
) {
    let lines = tracing_subscriber::fmt::layer().with_writer(move || Escaping(format));
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    subscriber(lines, targets, rates, tracer).init();
}

/// Records what commands log by default, and prints the events of `printed` on stderr.
pub(super) fn start_recording(
    printed: Option<Targets>,
    recorder: impl Layer<PrintingSubscriber> + Send + Sync,
) {
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Escaping(LogFormat::Text));
    let lines = lines.with_ansi(io::stderr().is_terminal());
    let printed = printed.unwrap_or_else(|| at_level(LevelFilter::OFF));
    subscriber(lines, printed, LineRates::default(), None)
        .with(recorder.with_filter(quiet()))
        .init();
}

/// What a recorder is a layer of.
pub(super) type PrintingSubscriber = Layered<Vec<Box<dyn Layer<Registry> + Send + Sync>>, Registry>;

/// Prints panics as one line each in this format. The standard library would write them to stderr itself, and wait for
/// it. They are no events: the panic may have been raised within the recording of one, which would panic again.
pub(super) fn panics(format: LogFormat) {
    panic::set_hook(Box::new(move |info| {
        let mut line = panic_line(info, format);
        line.push('\n');
        // It never fails.
        let _ = Escaping(format).write_all(line.as_bytes());
    }));
}

fn panic_line(info: &PanicHookInfo<'_>, format: LogFormat) -> String {
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let mut text = info.to_string();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("\n{backtrace}");
    }
    let mut timestamp = String::new();
    // Without a time the line is still worth printing.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    match format {
        LogFormat::Text => format!("{timestamp} ERROR thread {thread} {}", text.replace('\n', " | ")),
        LogFormat::Json => serde_json::json!({
            "timestamp": timestamp, "level": "ERROR", "thread": thread, "message": text, "target": "oneflight::panic",
        })
        .to_string(),
    }
}

/// Each second counts the lines of the log that were lost in `metrics`, and logs how many: those of a client that
/// exceeds its number immediately, and those that could not be written as soon as others can be.
///
/// # Cancel safety
///
/// Dropping the future loses no count of what it has not reported, except in `metrics`.
pub(super) async fn report_lost_lines(rates: &LineRates, metrics: &Metrics) -> Infallible {
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut counted, mut logged) = (0, 0);
    loop {
        ticks.tick().await;
        for LeftOut { client, of, lines } in rates.take_left_out() {
            metrics.lines_left_out(lines);
            if client.is_empty() {
                tracing::warn!(
                    target: REPORT, of, lines,
                    "lines that are about no client were left out of the log; those that are in it say what causes them"
                );
            } else {
                tracing::warn!(
                    target: REPORT, client, of, lines,
                    "lines were left out of the log; raise max_log_lines of the client, or log less"
                );
            }
        }
        let Some(dropped) = stderr::dropped() else {
            continue;
        };
        metrics.lines_not_written(dropped.lines - counted);
        counted = dropped.lines;
        if dropped.is_over && dropped.lines > logged {
            let lines = dropped.lines - logged;
            logged = dropped.lines;
            tracing::warn!(target: REPORT, lines, "lines of the log could not be written to stderr and are lost");
        }
    }
}

/// Writes to [`Stderr`], with everything escaped that would not be read as one line of the text that it is. Colours
/// stay: the layer above has escaped what else controls a terminal.
struct Escaping(LogFormat);

impl Write for Escaping {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        Stderr.write_all(&escaped(record, self.0))?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn escaped(record: &[u8], format: LogFormat) -> Cow<'_, [u8]> {
    let text = match std::str::from_utf8(record) {
        Ok(text) if !text.is_ascii() => text,
        _ => return Cow::Borrowed(record),
    };
    let form = match format {
        LogFormat::Text => Escape::Rust,
        LogFormat::Json => Escape::Json,
    };
    match escape(text, form, |char| !char.is_ascii()) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Writes events of `targets` to `lines`, and records spans if there is a tracer. It has a list of layers: an `Option`
/// of a layer that is `None` would enable every span, even if no layer records it.
fn subscriber(
    lines: impl Layer<Registry> + Send + Sync,
    targets: Targets,
    rates: LineRates,
    tracer: Option<SdkTracer>,
) -> PrintingSubscriber {
    let lines = lines.with_filter(without_callers(targets).and(rates));
    let mut layers = vec![lines.boxed()];
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
        let rates = LineRates::default();
        let subscriber = subscriber(lines, at_level(LevelFilter::INFO), rates, tracer);
        tracing::subscriber::with_default(subscriber, check);
    }

    #[test]
    fn a_record_keeps_its_colours_and_its_end_and_nothing_that_deceives() {
        let record = "\u{1b}[31mü\u{1b}[0m \u{202e}\u{9b}\n";
        for (format, expected) in [
            (LogFormat::Text, "\u{1b}[31mü\u{1b}[0m \\u{202e}\\u{9b}\n"),
            (LogFormat::Json, "\u{1b}[31mü\u{1b}[0m \\u202e\\u009b\n"),
        ] {
            let written = escaped(record.as_bytes(), format);
            assert_eq!(std::str::from_utf8(&written).unwrap(), expected);
        }
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
