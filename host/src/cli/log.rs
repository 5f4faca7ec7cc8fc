//! The log: what it shows, and how its lines look.

use std::io::IsTerminal;

use oneflight::config::LogFormat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
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

/// Starts the log on stderr, coloured only on a terminal.
pub(super) fn start(shown: Targets, format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .init();
}
