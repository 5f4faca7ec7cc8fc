//! [`LineRates`]: limits how many lines a second are logged of each client, since what makes them is a caller, a guest
//! or an upstream. The lines that a guest writes and those of the host are counted apart, so that a guest cannot hide
//! how its flights end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oneflight::Limits;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// What a guest writes has this target.
const GUEST: &str = "oneflight::guest";

/// What the program itself logs, about its start, reloads, certificates and its end, has a target in this module or is
/// of this one. Modules below the server log what callers cause.
const PROGRAM: (&str, &str) = ("oneflight::cli::", "oneflight::server");

/// The target of the lines about lines that were left out.
pub(super) const REPORT: &str = "oneflight::log";

/// The time in which a limited number of lines is logged.
const INTERVAL: Duration = Duration::from_secs(1);

/// The lines of each client. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineRates(Arc<Mutex<HashMap<String, Arc<ClientLines>>>>);

/// The lines of one client, or, without a name, of no client.
#[derive(Debug)]
struct ClientLines {
    guest: Mutex<Interval>,
    host: Mutex<Interval>,
}

#[derive(Debug)]
struct Interval {
    max: usize,
    began: Instant,
    logged: usize,
    left_out: u64,
}

/// Lines that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Empty for lines of no client.
    pub(super) client: String,
    /// `guest` or `host`.
    pub(super) of: &'static str,
    pub(super) lines: u64,
}

impl LineRates {
    /// Limits the lines of `client` to `max` a second.
    pub(crate) fn limit(&self, client: &str, max: usize) {
        let lines = self.of(client);
        for interval in [&lines.guest, &lines.host] {
            lock(interval).max = max;
        }
    }

    /// The lines that were left out since the last call.
    pub(super) fn take_left_out(&self) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        for (client, lines) in lock(&self.0).iter() {
            for (of, interval) in [("guest", &lines.guest), ("host", &lines.host)] {
                let lines = std::mem::take(&mut lock(interval).left_out);
                if lines > 0 {
                    let client = client.clone();
                    left_out.push(LeftOut { client, of, lines });
                }
            }
        }
        left_out
    }

    fn of(&self, client: &str) -> Arc<ClientLines> {
        let mut clients = lock(&self.0);
        if let Some(lines) = clients.get(client) {
            return Arc::clone(lines);
        }
        let lines = Arc::<ClientLines>::default();
        clients.insert(client.to_owned(), Arc::clone(&lines));
        lines
    }
}

impl Default for ClientLines {
    fn default() -> Self {
        let interval = || {
            Mutex::new(Interval {
                max: Limits::default().max_log_lines,
                began: Instant::now(),
                logged: 0,
                left_out: 0,
            })
        };
        Self {
            guest: interval(),
            host: interval(),
        }
    }
}

impl ClientLines {
    fn admits(&self, target: &str, now: Instant) -> bool {
        let interval = if target == GUEST {
            &self.guest
        } else {
            &self.host
        };
        lock(interval).admits(now)
    }
}

impl Interval {
    /// Counts one more line.
    fn admits(&mut self, now: Instant) -> bool {
        if now.duration_since(self.began) >= INTERVAL {
            (self.began, self.logged) = (now, 0);
        }
        let admits = self.logged < self.max;
        if admits {
            self.logged += 1;
        } else {
            self.left_out += 1;
        }
        admits
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for LineRates {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// An event is checked each time: tracing-subscriber 0.3 requires it of a filter that decides by event.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() {
            Interest::sometimes()
        } else {
            Interest::always()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    /// Remembers the client of a flight in its span, so that its lines need no lookup.
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() != "flight" {
            return;
        }
        let mut client = ClientField::default();
        attributes.record(&mut client);
        if let (Some(client), Some(span)) = (client.0, context.span(id)) {
            span.extensions_mut().replace(self.of(&client));
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        let target = event.metadata().target();
        if target == REPORT {
            return true;
        }
        let now = Instant::now();
        let spans = context.event_span(event).map(|span| span.scope());
        for span in spans.into_iter().flatten() {
            if let Some(lines) = span.extensions().get::<Arc<ClientLines>>() {
                return lines.admits(target, now);
            }
        }
        let mut client = ClientField::default();
        event.record(&mut client);
        match client.0 {
            Some(client) => self.of(&client).admits(target, now),
            None => is_of_program(target) || self.of("").admits(target, now),
        }
    }
}

/// Whether lines of this target without a client are for the operator, and callers cannot cause them at will. All others
/// are limited.
fn is_of_program(target: &str) -> bool {
    let (below, exactly) = PROGRAM;
    target.starts_with(below) || target == exactly
}

/// The field `client`.
#[derive(Default)]
struct ClientField(Option<String>);

impl Visit for ClientField {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "client" {
            self.0 = Some(value.to_owned());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::layer::{Layer, SubscriberExt};

    use super::*;

    /// What is logged of the lines of `log` within these limits.
    fn logged(rates: &LineRates, log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);

        impl io::Write for Written {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                lock(&self.0).extend(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let lines = lines.with_filter(rates.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lock(&written.0).clone()).unwrap()
    }

    // fault 83
    #[test]
    fn no_line_of_the_program_is_left_out_when_callers_cause_many() {
        let rates = LineRates::default();
        rates.limit("", 1);
        rates.limit("a", 0);
        let log = logged(&rates, || {
            for _ in 0..2 {
                tracing::warn!(target: "oneflight::server::connection", "header");
                tracing::error!(target: "oneflight::cli::reload", "reload");
                tracing::warn!(target: "oneflight::server", "shutdown");
                tracing::info!(target: "oneflight::cli::client", client = "a", "limits");
            }
        });
        let count = |text| log.matches(text).count();
        assert_eq!((count("reload\n"), count("shutdown\n")), (2, 2), "{log}");
        assert_eq!((count("header\n"), count("limits")), (1, 0), "{log}");
        let mut reported = rates.take_left_out();
        reported.sort_by_key(|left_out| left_out.lines);
        let expected = [left_out("", "host", 1), left_out("a", "host", 2)];
        assert_eq!(reported, expected);
    }

    fn left_out(client: &str, of: &'static str, lines: u64) -> LeftOut {
        let client = client.to_owned();
        LeftOut { client, of, lines }
    }

    #[test]
    fn a_client_has_its_own_number_of_lines_a_second_and_its_guest_another_one() {
        let rates = LineRates::default();
        rates.limit("a", 2);
        let (a, b, now) = (rates.of("a"), rates.of("b"), Instant::now());
        let admitted = |target, now| (0..5).filter(|_| a.admits(target, now)).count();
        assert_eq!(admitted(GUEST, now), 2);
        assert_eq!(admitted("oneflight::client::telemetry", now), 2);
        assert!(b.admits(GUEST, now));
        assert_eq!(admitted(GUEST, now + INTERVAL), 2);
        let mut reported = rates.take_left_out();
        reported.sort_by_key(|left_out| left_out.of);
        let expected = [left_out("a", "guest", 6), left_out("a", "host", 3)];
        assert_eq!(reported, expected);
        assert_eq!(rates.take_left_out(), []);
    }
}
