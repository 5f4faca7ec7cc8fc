//! [`alerts`]: rules for Prometheus.

use std::fmt::Write as _;

use super::{Catalogue, codes};

/// A rule.
struct Alert {
    name: &'static str,
    /// A PromQL expression.
    expression: String,
    /// How long the expression must have a result before the alert fires.
    pending: &'static str,
    severity: &'static str,
    summary: &'static str,
    /// What it means, and what to do.
    description: &'static str,
}

/// The share of calls that may fail before a rule fires.
const MAX_FAILED_CALLERS: &str = "0.05";
const MAX_FAILED_FLIGHTS: &str = "0.1";
/// The share of compared answers that may differ.
const MAX_UNEQUAL: &str = "0.01";

/// A file of alert rules for Prometheus, in YAML.
///
/// # Panics
///
/// Never: a unit test checks that every metric that it names is defined.
#[must_use]
pub fn alerts() -> String {
    let metrics = Catalogue::new();
    let rules = [
        absent(&metrics),
        callers_fail(&metrics),
        upstream_fails(&metrics),
        guest_fails(&metrics),
        internal_error(&metrics),
        overloaded(&metrics),
        limit_reached(&metrics),
        flights_wait(&metrics),
        answers_differ(&metrics),
        log_lines_lost(&metrics),
    ];
    let mut text = String::from(
        "# Alert rules for Prometheus, printed by `oneflight metrics alerts`. Each is a start: the thresholds depend on the\n\
         # service.\ngroups:\n  - name: oneflight\n    rules:\n",
    );
    for rule in rules {
        // Writing to a `String` does not fail.
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n          description: {}\n",
            rule.name,
            quoted(&rule.expression),
            rule.pending,
            rule.severity,
            quoted(rule.summary),
            quoted(rule.description),
        );
    }
    text
}

/// A string of YAML: a double-quoted one has the escapes of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn absent(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightAbsent",
        expression: format!("absent({})", metrics.series("tasks")),
        pending: "5m",
        severity: "critical",
        summary: "No Oneflight is scraped",
        description: "Prometheus has no metrics of any Oneflight. Check that the service runs, that the admin address is \
                      reachable for Prometheus, and that admin_hosts lists the name by which Prometheus requests it.",
    }
}

fn callers_fail(metrics: &Catalogue) -> Alert {
    let callers = metrics.series("callers");
    // Answers about the key or the request, not failures.
    let failures = codes(|code| {
        !matches!(
            code,
            "invalid-key" | "not-found" | "client-error" | "unknown-function"
        )
    });
    Alert {
        name: "OneflightCallersFail",
        expression: share(
            &format!("{callers}{{outcome=~\"{failures}\"}}"),
            &callers,
            MAX_FAILED_CALLERS,
        ),
        pending: "5m",
        severity: "warning",
        summary: "{{ $value | humanizePercentage }} of the callers of {{ $labels.client }} get an error",
        description: "The outcomes of callers say which: see the panel of callers by outcome, and the log, which has one line \
                      for each flight that failed.",
    }
}

fn upstream_fails(metrics: &Catalogue) -> Alert {
    let flights = metrics.series("flights");
    let failures = codes(|code| code.starts_with("upstream-") || code == "rate-limited");
    Alert {
        name: "OneflightUpstreamFails",
        expression: share(
            &format!("{flights}{{outcome=~\"{failures}\"}}"),
            &flights,
            MAX_FAILED_FLIGHTS,
        ),
        pending: "5m",
        severity: "warning",
        summary: "The upstream of {{ $labels.client }} fails {{ $value | humanizePercentage }} of the flights",
        description: "It is unreachable, slow, refuses requests or sends what the client cannot read. The outcome says which; \
                      upstream-denied means that the client's allow or allow_net lacks the target.",
    }
}

fn guest_fails(metrics: &Catalogue) -> Alert {
    let flights = metrics.series("flights");
    let failures = codes(|code| code.starts_with("guest-") || code == "result-too-large");
    Alert {
        name: "OneflightGuestFails",
        expression: increase(
            &format!("{flights}{{outcome=~\"{failures}\"}}"),
            "client, outcome",
        ),
        pending: "1m",
        severity: "warning",
        summary: "The component of {{ $labels.client }} fails with {{ $labels.outcome }}",
        description: "It has trapped, computed for too long, or returned what its contract does not allow. The log has its \
                      messages. `oneflight test` tests a component.",
    }
}

fn internal_error(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightInternalError",
        expression: increase(
            &format!("{}{{outcome=\"internal\"}}", metrics.series("callers")),
            "client",
        ),
        pending: "0m",
        severity: "critical",
        summary: "Callers of {{ $labels.client }} get internal",
        description: "This is a bug of Oneflight. The log has its cause; please report it.",
    }
}

fn overloaded(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightOverloaded",
        expression: increase(
            &format!("{}{{outcome=\"overloaded\"}}", metrics.series("callers")),
            "client",
        ),
        pending: "5m",
        severity: "warning",
        summary: "{{ $labels.client }} refuses callers",
        description: "A limit is reached; OneflightLimitReached names it. Raise it if the machine has room, or run more \
                      processes behind a balancer that hashes keys consistently.",
    }
}

fn limit_reached(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightLimitReached",
        expression: increase(&metrics.series("limits"), "client, outcome"),
        pending: "5m",
        severity: "info",
        summary: "{{ $labels.client }} reaches the limit {{ $labels.outcome }}",
        description: "Flights or callers end because of it. The error in the log names the setting to raise.",
    }
}

fn flights_wait(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightFlightsWait",
        expression: format!(
            "min_over_time({}[5m]) > 0",
            metrics.series("flights_waiting")
        ),
        pending: "5m",
        severity: "warning",
        summary: "{{ $value }} flights of {{ $labels.client }} or more wait for a permit",
        description: "All executions that limits.max_executions permits are in use. Raise it if the upstream can take more \
                      requests at once.",
    }
}

fn answers_differ(metrics: &Catalogue) -> Alert {
    let compared = metrics.series("answers_compared");
    Alert {
        name: "OneflightAnswersDiffer",
        expression: share(
            &format!("{compared}{{outcome=\"unequal\"}}"),
            &compared,
            MAX_UNEQUAL,
        ),
        pending: "0m",
        severity: "info",
        summary: "{{ $value | humanizePercentage }} of the answers of {{ $labels.client }} for equal keys differ",
        description: "Calls are observed and not shared. Before sharing them, find out what an answer depends on besides its \
                      key: `oneflight observe --show-keys` names the keys.",
    }
}

fn log_lines_lost(metrics: &Catalogue) -> Alert {
    Alert {
        name: "OneflightLogLinesLost",
        expression: increase(&metrics.series("log_lines_lost"), "reason"),
        pending: "0m",
        severity: "info",
        summary: "Lines are not in the log ({{ $labels.reason }})",
        description: "With reason limit, a client exceeds max_log_lines; with reason output, the reader of stderr is too slow.",
    }
}

/// Whether `part` exceeds a share of `whole`, by process and client.
fn share(part: &str, whole: &str, max: &str) -> String {
    let by = "sum by (instance, client)";
    format!("{by} (rate({part}[5m])) / {by} (rate({whole}[5m])) > {max}")
}

/// Whether a counter has grown in ten minutes, by process and `labels`.
fn increase(counter: &str, labels: &str) -> String {
    format!("sum by (instance, {labels}) (increase({counter}[10m])) > 0")
}
