//! `oneflight observe`: finds duplicate calls of a running service, and what sharing saves or would save.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use oneflight::admin_types::{ClientStats, ObservationReport, Stats};
use oneflight::model::units::{A_DURATION, duration};
use oneflight::observability::observation::MAX_DURATION;
use oneflight::printable::{Escape, escape, escape_lines};

use super::admin_client::AdminClient;
use super::format::{self, count};
use super::progress::{ProgressStyle, with_progress};
use super::stderr::Stderr;

/// Observes a running service for a time, and reports duplicate calls: the keys with the most of them, and what
/// sharing saves, or would save if a client only observes (sharing = "observed", or --no-coalescing).
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Observe {
    /// How long to observe, up to 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = time)]
    time: Duration,

    /// The maximum number of keys to print for each client.
    #[arg(long, value_name = "N", default_value_t = 10)]
    keys: usize,

    /// Prints the keys themselves. Without it, they are printed as hashes, as in the log.
    #[arg(long)]
    show_keys: bool,

    #[command(flatten)]
    admin: AdminClient,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  oneflight observe --for 60s
  oneflight observe --for 10m --show-keys --admin 127.0.0.1:9001
  oneflight observe --for 10s --json | jq '.clients[].would_save'";

fn time(text: &str) -> Result<Duration, String> {
    let time = duration(text).ok_or_else(|| format!("expected {A_DURATION}"))?;
    if time.is_zero() || time > MAX_DURATION {
        return Err("expected more than zero and at most 1h".to_owned());
    }
    Ok(time)
}

impl Observe {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let keys = if self.show_keys { "shown" } else { "hashed" };
        let path = format!(
            "/v1/observe?for={}ms&most={}&keys={keys}",
            self.time.as_millis(),
            self.keys
        );
        let request = self.admin.request(Method::POST, &path);
        let report: ObservationReport = if stderr().is_terminal() {
            let task = format!(
                "observing {} for {}",
                self.admin.address,
                format::seconds(self.time.as_secs_f64())
            );
            with_progress(&task, request, ProgressStyle::Terminal, Stderr).await?
        } else {
            request.await?
        };
        if self.json {
            writeln!(
                stdout(),
                "{}",
                escape(&serde_json::to_string(&report)?, Escape::Json, |_| true)
            )?;
        } else {
            write!(
                stdout(),
                "{}",
                escape_lines(&describe(&report), Escape::Rust)
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The report for people: each client's totals, then its keys.
fn describe(report: &ObservationReport) -> String {
    let time = format::seconds(report.seconds);
    if report.clients.is_empty() {
        return format!("In {time} no flight ended: there were no callers, or all still wait.\n");
    }
    let mut text = format!("In {time}:\n");
    for of_client in &report.clients {
        let _ = write!(text, "\n{}", describe_client(of_client));
    }
    text
}

fn describe_client(of_client: &ClientStats) -> String {
    let stats = &of_client.stats;
    let requests = stats.cost.upstream_requests;
    let mut text = format!(
        "{}: {}, {}, {}\n",
        of_client.client,
        count(stats.callers, "caller"),
        count(stats.flights, "guest call"),
        count(requests, "upstream request"),
    );
    for (label, amount, whole) in [
        (
            "sharing saved",
            stats.saved,
            requests + stats.saved.upstream_requests,
        ),
        ("sharing would save", stats.would_save, requests),
    ] {
        if amount.calls > 0 {
            let _ = writeln!(
                text,
                "  {label} {} of {} ({}), {} of upstream time, {} of guest time",
                amount.upstream_requests,
                count(whole, "upstream request"),
                format::percent(amount.upstream_requests, whole),
                format::seconds(amount.upstream_seconds),
                format::seconds(amount.guest_seconds),
            );
        }
    }
    if stats.duplicates() == 0 {
        text += "  no two callers requested the same key at the same time\n";
    }
    if let Some(line) = comparison(stats) {
        let _ = writeln!(text, "  {line}");
    }
    text.push('\n');
    text += &table(of_client);
    if let Some(advice) = advice(of_client) {
        let _ = write!(text, "\n{advice}");
    }
    text
}

fn comparison(stats: &Stats) -> Option<String> {
    let (equal, compared) = (stats.equal, stats.equal + stats.unequal);
    (compared > 0).then(|| {
        format!("of the answers that would have been shared, {equal} of {compared} were equal")
    })
}

/// What to do next, if nothing is shared yet.
fn advice(of_client: &ClientStats) -> Option<String> {
    let (client, stats) = (&of_client.client, &of_client.stats);
    if stats.would_save.calls == 0 {
        None
    } else if stats.unequal > 0 {
        Some(
            "  Do not share yet: if answers differ, the key is incomplete, or the upstream's data changes between\n  \
             two calls. --show-keys prints the keys.\n"
                .to_owned(),
        )
    } else if of_client.keys.iter().all(|of| of.key.contains('(')) {
        // The keys are calls of functions, which are shared if they are listed.
        Some(format!(
            "  To share: add the functions that only read to share of [clients.{client}], remove\n  \
             sharing = \"observed\" if it has that, and send the service SIGHUP.\n"
        ))
    } else {
        Some(format!(
            "  To share: remove sharing = \"observed\" from [clients.{client}] and send the service SIGHUP; or,\n  \
             if it was started with --no-coalescing, start it without.\n"
        ))
    }
}

fn table(of_client: &ClientStats) -> String {
    if of_client.keys.is_empty() {
        return String::new();
    }
    let observed = of_client.stats.would_save.calls > 0;
    let saved = if observed { "would save" } else { "saved" };
    // On one line. The WAVE of a call has its own escapes, which stay as they are.
    let name = |key| escape(key, Escape::Rust, |_| true);
    let keys: Vec<_> = of_client.keys.iter().map(|of| name(&of.key)).collect();
    let width = keys.iter().map(|key| key.chars().count()).max();
    let width = width.unwrap_or_default().max("key".len());
    let mut text = format!(
        "  {:<width$} {:>9} {:>9} {:>9} {saved:>11}{}\n",
        "key",
        "callers",
        "calls",
        "requests",
        if observed { "    equal" } else { "" }
    );
    for (key, of) in keys.iter().zip(&of_client.keys) {
        let Stats {
            callers,
            flights,
            cost,
            saved,
            would_save,
            equal,
            unequal,
        } = of.stats;
        let saved = saved.upstream_requests + would_save.upstream_requests;
        let requests = cost.upstream_requests;
        let _ = write!(
            text,
            "  {key:<width$} {callers:>9} {flights:>9} {requests:>9} {saved:>11}"
        );
        if observed && equal + unequal > 0 {
            let _ = write!(text, "    {equal} of {}", equal + unequal);
        }
        text.push('\n');
    }
    let more = of_client.keys_seen - of_client.keys.len().min(of_client.keys_seen);
    if more > 0 {
        let _ = writeln!(
            text,
            "  and {} (--keys N prints more)",
            count(more as u64, "more key")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use oneflight::admin_types::{Amount, KeyStats};

    use super::*;

    fn amount(calls: u64) -> Amount {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let times = calls as f64;
        Amount {
            calls,
            upstream_requests: calls,
            upstream_seconds: 0.1 * times,
            guest_seconds: 0.000_05 * times,
        }
    }

    fn report(stats: Stats) -> ObservationReport {
        let of_key = KeyStats {
            key: "8c1d".to_owned(),
            stats,
        };
        ObservationReport {
            seconds: 60.0,
            clients: vec![ClientStats {
                client: "orders".to_owned(),
                stats,
                keys_seen: 3,
                keys: vec![of_key],
            }],
        }
    }

    #[test]
    fn if_nothing_is_shared_the_report_has_what_sharing_would_save_and_how_to_start() {
        let observed = Stats {
            callers: 312,
            flights: 312,
            cost: amount(312),
            would_save: amount(156),
            equal: 156,
            ..Stats::default()
        };
        assert_eq!(
            describe(&report(observed)),
            "In 60 s:\n\
             \n\
             orders: 312 callers, 312 guest calls, 312 upstream requests\n\
             \x20 sharing would save 156 of 312 upstream requests (50 %), 15.6 s of upstream time, 7 ms of \
             guest time\n\
             \x20 of the answers that would have been shared, 156 of 156 were equal\n\
             \n\
             \x20 key    callers     calls  requests  would save    equal\n\
             \x20 8c1d       312       312       312         156    156 of 156\n\
             \x20 and 2 more keys (--keys N prints more)\n\
             \n\
             \x20 To share: remove sharing = \"observed\" from [clients.orders] and send the service SIGHUP; \
             or,\n  if it was started with --no-coalescing, start it without.\n"
        );
        let unequal = Stats {
            equal: 154,
            unequal: 2,
            ..observed
        };
        let text = describe(&report(unequal));
        assert!(text.contains("154 of 156 were equal\n"), "{text}");
        assert!(
            text.contains("Do not share yet") && !text.contains("SIGHUP"),
            "{text}"
        );
    }

    #[test]
    fn if_callers_share_the_report_has_what_that_saved() {
        let shared = Stats {
            callers: 312,
            flights: 156,
            cost: amount(156),
            saved: amount(156),
            ..Stats::default()
        };
        let text = describe(&report(shared));
        let line = "  sharing saved 156 of 312 upstream requests (50 %), 15.6 s of upstream time";
        assert!(text.contains(line), "{text}");
        assert!(
            !text.contains("SIGHUP") && !text.contains("were equal"),
            "{text}"
        );
    }

    #[test]
    fn a_report_without_callers_or_duplicates_says_that() {
        let nothing = ObservationReport {
            seconds: 5.0,
            clients: vec![],
        };
        assert_eq!(
            describe(&nothing),
            "In 5 s no flight ended: there were no callers, or all still wait.\n"
        );
        let alone = describe(&report(Stats {
            callers: 1,
            flights: 1,
            cost: amount(1),
            ..Stats::default()
        }));
        assert!(
            alone.contains("no two callers requested the same key"),
            "{alone}"
        );
    }
}
