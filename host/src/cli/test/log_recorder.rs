//! [`LogRecorder`]: what the host logs about the calls of a situation, for its finding.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oneflight::printable::printable;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// How many lines of one situation are kept, the last ones.
const MAX_LINES: usize = 20;

/// One line of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct LoggedLine {
    /// The code of the error that it is about.
    code: String,
    /// Its message and its other fields but the frames of a crash, printable and of at most 4 KiB.
    pub(super) text: String,
}

impl LoggedLine {
    /// Whether a guest crashed.
    pub(super) fn is_crash(&self) -> bool {
        self.code == "guest-trap"
    }
}

/// A layer that keeps the last events. Clones share them.
#[derive(Clone, Default)]
pub(super) struct LogRecorder(Arc<Mutex<VecDeque<LoggedLine>>>);

impl LogRecorder {
    /// The lines since the last call.
    pub(super) fn take(&self) -> Vec<LoggedLine> {
        self.lock().drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LoggedLine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for LogRecorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let text = printable(&(fields.message + &fields.others));
        let mut lines = self.lock();
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(LoggedLine {
            code: fields.code,
            text,
        });
    }
}

#[derive(Default)]
struct EventFields {
    code: String,
    message: String,
    others: String,
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !value.is_empty() {
            self.record(field.name(), format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field.name(), format_args!("{value:?}"));
    }
}

impl EventFields {
    fn record(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let _ = match name {
            "message" => write!(self.message, "{value}"),
            "code" => write!(self.code, "{value}"),
            // They are many lines, and the reason is in the others.
            "frames" => Ok(()),
            _ => write!(self.others, "; {name}: {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields_and_are_printable() {
        let recorder = LogRecorder::default();
        let subscriber = tracing_subscriber::registry().with(recorder.clone());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..MAX_LINES {
                tracing::warn!(number, "earlier");
            }
            tracing::warn!(
                code = "guest-trap",
                stderr = "a\x1bb",
                frames = "0: f",
                "unreachable"
            );
        });
        let lines = recorder.take();
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines[0].text, "earlier; number: 1");
        let last = &lines[MAX_LINES - 1];
        assert_eq!(last.text, "unreachable; stderr: a\\u{1b}b");
        assert!(last.is_crash() && !lines[0].is_crash());
        assert!(recorder.take().is_empty());
    }
}
