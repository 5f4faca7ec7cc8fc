//! `oneflight observe`: who asks a running service for what somebody has just asked it for, and what
//! sharing saves or would save.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use oneflight::model::units::{A_DURATION, duration};
use oneflight::observability::observation::{ClientStats, LONGEST, Report, Stats};

use super::admin_client::AdminClient;
use super::progress::{Shown, with_progress};
use super::{count, format};

/// Watches a running service for a time, and reports who asked twice: the busiest keys, and what sharing
/// saves, or would save where a client only observes (sharing = "observed", or --no-coalescing).
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Observe {
    /// How long to watch, up to 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = time)]
    time: Duration,

    /// How many keys to show for each client.
    #[arg(long, value_name = "N", default_value_t = 10)]
    keys: usize,

    /// Shows keys as they are. Without, they are shown as hashes, as in the log.
    #[arg(long)]
    show_keys: bool,

    #[command(flatten)]
    administration: AdminClient,

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
    let time = duration(text).ok_or_else(|| format!("needed {A_DURATION}"))?;
    if time.is_zero() || time > LONGEST {
        return Err("needed more than nothing, and at most 1h".to_owned());
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
        let asking = self.administration.ask(Method::POST, &path);
        let report: Report = if stderr().is_terminal() {
            let what = format!(
                "watching {} for {}",
                self.administration.address,
                format::seconds(self.time.as_secs_f64())
            );
            with_progress(&what, asking, Shown::Live, stderr()).await?
        } else {
            asking.await?
        };
        if self.json {
            writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
        } else {
            write!(stdout(), "{}", told(&report))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The report for people: of each client what it comes to, and then its busiest keys.
fn told(report: &Report) -> String {
    let time = format::seconds(report.seconds);
    if report.clients.is_empty() {
        return format!("In {time} no flight ended: nobody asked, or all still wait.\n");
    }
    let mut text = format!("In {time}:\n");
    for of_client in &report.clients {
        let _ = write!(text, "\n{}", of_one(of_client));
    }
    text
}

fn of_one(of_client: &ClientStats) -> String {
    let figures = &of_client.figures;
    let requests = figures.cost.upstream_requests;
    let mut text = format!(
        "{}: {}, {}, {}\n",
        of_client.client,
        count(figures.callers, "caller"),
        count(figures.flights, "guest call"),
        count(requests, "upstream request"),
    );
    for (what, amount, whole) in [
        (
            "sharing saved",
            figures.saved,
            requests + figures.saved.upstream_requests,
        ),
        ("sharing would save", figures.would_save, requests),
    ] {
        if amount.calls > 0 {
            let _ = writeln!(
                text,
                "  {what} {} of {} ({}), {} of upstream time, {} of guest time",
                amount.upstream_requests,
                count(whole, "upstream request"),
                format::percent(amount.upstream_requests, whole),
                format::seconds(amount.upstream_seconds),
                format::seconds(amount.guest_seconds),
            );
        }
    }
    if figures.duplicates() == 0 {
        text += "  no two callers asked for the same key at the same time\n";
    }
    if let Some(line) = equality(figures) {
        let _ = writeln!(text, "  {line}");
    }
    text.push('\n');
    text += &table(of_client);
    if let Some(advice) = advice(of_client) {
        let _ = write!(text, "\n{advice}");
    }
    text
}

fn equality(figures: &Stats) -> Option<String> {
    let (equal, compared) = (figures.equal, figures.equal + figures.unequal);
    (compared > 0).then(|| {
        format!("of the answers that would have been shared, {equal} of {compared} were equal")
    })
}

/// What to do next, where nothing is shared yet.
fn advice(of_client: &ClientStats) -> Option<String> {
    let (client, figures) = (&of_client.client, &of_client.figures);
    if figures.would_save.calls == 0 {
        None
    } else if figures.unequal > 0 {
        Some(
            "  Do not share yet: where answers differ, the key leaves something out, or the upstream's data\n  \
             changes between two calls. --show-keys says which keys those are.\n"
                .to_owned(),
        )
    } else {
        Some(format!(
            "  To share: take sharing = \"observed\" out of [clients.{client}] and send the service SIGHUP; or, \
             where\n  it was started with --no-coalescing, start it without.\n"
        ))
    }
}

fn table(of_client: &ClientStats) -> String {
    if of_client.keys.is_empty() {
        return String::new();
    }
    let observed = of_client.figures.would_save.calls > 0;
    let saved = if observed { "would save" } else { "saved" };
    let name = |key: &str| key.escape_debug().to_string();
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
        } = of.figures;
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
            "  and {} (--keys N shows more)",
            count(more as u64, "more key")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use oneflight::observability::observation::{Amount, KeyStats};

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

    fn report(figures: Stats) -> Report {
        let of_key = KeyStats {
            key: "8c1d".to_owned(),
            figures,
        };
        Report {
            seconds: 60.0,
            clients: vec![ClientStats {
                client: "orders".to_owned(),
                figures,
                keys_seen: 3,
                keys: vec![of_key],
            }],
        }
    }

    #[test]
    fn where_nothing_is_shared_it_says_what_sharing_would_save_and_how_to_begin() {
        let observed = Stats {
            callers: 312,
            flights: 312,
            cost: amount(312),
            would_save: amount(156),
            equal: 156,
            ..Stats::default()
        };
        assert_eq!(
            told(&report(observed)),
            "In 60 s:\n\
             \n\
             orders: 312 callers, 312 guest calls, 312 upstream requests\n\
             \x20 sharing would save 156 of 312 upstream requests (50 %), 15.6 s of upstream time, 7 ms of \
             guest time\n\
             \x20 of the answers that would have been shared, 156 of 156 were equal\n\
             \n\
             \x20 key    callers     calls  requests  would save    equal\n\
             \x20 8c1d       312       312       312         156    156 of 156\n\
             \x20 and 2 more keys (--keys N shows more)\n\
             \n\
             \x20 To share: take sharing = \"observed\" out of [clients.orders] and send the service SIGHUP; \
             or, where\n  it was started with --no-coalescing, start it without.\n"
        );
        let unequal = Stats {
            equal: 154,
            unequal: 2,
            ..observed
        };
        let told = told(&report(unequal));
        assert!(told.contains("154 of 156 were equal\n"), "{told}");
        assert!(
            told.contains("Do not share yet") && !told.contains("SIGHUP"),
            "{told}"
        );
    }

    #[test]
    fn where_callers_share_it_says_what_that_saved() {
        let shared = Stats {
            callers: 312,
            flights: 156,
            cost: amount(156),
            saved: amount(156),
            ..Stats::default()
        };
        let told = told(&report(shared));
        let line = "  sharing saved 156 of 312 upstream requests (50 %), 15.6 s of upstream time";
        assert!(told.contains(line), "{told}");
        assert!(
            !told.contains("SIGHUP") && !told.contains("were equal"),
            "{told}"
        );
    }

    #[test]
    fn where_nobody_asked_it_says_so() {
        let nothing = Report {
            seconds: 5.0,
            clients: vec![],
        };
        assert_eq!(
            told(&nothing),
            "In 5 s no flight ended: nobody asked, or all still wait.\n"
        );
        let alone = told(&report(Stats {
            callers: 1,
            flights: 1,
            cost: amount(1),
            ..Stats::default()
        }));
        assert!(
            alone.contains("no two callers asked for the same key"),
            "{alone}"
        );
    }
}
