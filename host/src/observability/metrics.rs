//! [`Metrics`]: what a service has done, as metrics that Prometheus reads.
//!
//! Series are labelled with the client and the outcome and nothing else, and all series of a client exist from its
//! start: their number does not depend on what callers request. Counts continue when a client is reloaded.

mod definition;
mod families;
mod histogram;
mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub(crate) use self::definition::{Definition, Series};
pub use self::families::Gauges;
pub(crate) use self::families::LATENCIES;
use self::families::{ByClient, ByListener, ByOutcome, ByReason, Families, Histograms, Seconds};
use self::histogram::Histogram;
pub(crate) use self::histogram::STEPS;
pub(crate) use self::totals::Totals;
use super::observation::{Observation, Observers};
use crate::model::{ClientError, FlightCost, FlightRecord, Limit};

/// The values of the label `outcome` of compared answers.
const EQUAL: &str = "equal";
const UNEQUAL: &str = "unequal";

/// The values of the label `reason` of lines that are not in the log.
const LEFT_OUT: &str = "limit";
const NOT_WRITTEN: &str = "output";

/// The values of the label `listener`.
const CALLERS: &str = "callers";
const ADMIN: &str = "admin";

/// The metrics of a service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    observers: Arc<Observers>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(definition::PREFIX);
        let families = Families::registered(&mut registry);
        for reason in [LEFT_OUT, NOT_WRITTEN] {
            families
                .lost_lines
                .get_or_create_owned(&ByReason { reason });
        }
        let metrics = Self {
            registry,
            families,
            observers: Arc::default(),
        };
        metrics.set_unread_bytes(0, 0);
        metrics
    }
}

impl Metrics {
    /// The metrics of the client `name`. Two calls with one name return the same metrics.
    #[must_use]
    pub fn client(&self, name: &str) -> ClientMetrics {
        let families = &self.families;
        let client = ByClient {
            client: name.to_owned(),
        };
        let count = |family: &Family<ByClient, Counter>| family.get_or_create_owned(&client);
        let seconds = |family: &Family<ByClient, Seconds>| family.get_or_create_owned(&client);
        let histogram = |family: &Histograms| family.get_or_create_owned(&client);
        let outcomes = |family: &Family<ByOutcome, Counter>, outcomes: &[&'static str]| {
            let counter = |outcome: &&'static str| {
                let client = name.to_owned();
                let outcome = *outcome;
                (
                    outcome,
                    family.get_or_create_owned(&ByOutcome { client, outcome }),
                )
            };
            Outcomes(outcomes.iter().map(counter).collect())
        };
        let answers = [&["ok"], ClientError::CODES].concat();
        ClientMetrics(Some(Arc::new(Counters {
            client: name.to_owned(),
            observers: Arc::clone(&self.observers),
            callers: outcomes(&families.callers, &[&answers[..], &["left"]].concat()),
            flights: outcomes(&families.flights, &answers),
            limits: outcomes(&families.limits, Limit::NAMES),
            compared: outcomes(&families.compared, &[EQUAL, UNEQUAL]),
            joined: count(&families.joined),
            would_have_joined: count(&families.would_have_joined),
            requests: count(&families.requests),
            resent: count(&families.resent),
            connects_retried: count(&families.connects_retried),
            saved: count(&families.saved),
            would_have_saved: count(&families.would_have_saved),
            guest_time: seconds(&families.guest_time),
            upstream_time: seconds(&families.upstream_time),
            flight_callers: histogram(&families.flight_callers),
            caller_time: histogram(&families.caller_time),
            flight_time: histogram(&families.flight_time),
        })))
    }

    /// What is defined, in the order in which it is printed.
    pub(crate) fn definitions(&self) -> &[Definition] {
        &self.families.definitions
    }

    /// Counts lines that were left out of the log, because a client exceeds its number of lines.
    pub fn lines_left_out(&self, lines: u64) {
        self.lost_lines(LEFT_OUT, lines);
    }

    /// Counts lines of the log that could not be written.
    pub fn lines_not_written(&self, lines: u64) {
        self.lost_lines(NOT_WRITTEN, lines);
    }

    fn lost_lines(&self, reason: &'static str, lines: u64) {
        let counter = self.families.lost_lines.get_or_create(&ByReason { reason });
        counter.inc_by(lines);
    }

    /// Sets how many bytes are held for `callers` and for the `admin` API.
    pub(crate) fn set_unread_bytes(&self, callers: usize, admin: usize) {
        for (listener, bytes) in [(CALLERS, callers), (ADMIN, admin)] {
            let gauge = self.families.unread.get_or_create(&ByListener { listener });
            gauge.set(gauge_value(bytes));
        }
    }

    /// Starts an observation of all calls. `None` if the maximum number of observations is in progress.
    #[must_use]
    pub fn observe(&self) -> Option<Observation> {
        self.observers.observe()
    }

    /// All metrics in the OpenMetrics text format 1.0, with the `gauges` of each client and the number of `tasks` of
    /// the process.
    ///
    /// # Panics
    ///
    /// Never: writing to a `String` does not fail.
    #[must_use]
    pub fn text(&self, gauges: &[(&str, Gauges)], tasks: usize) -> String {
        let families = &self.families;
        for (family, read) in &families.gauges {
            family.clear();
            for (name, of_client) in gauges {
                let client = (*name).to_owned();
                family
                    .get_or_create(&ByClient { client })
                    .set(gauge_value(read(of_client)));
            }
        }
        let observations = self.observers.len();
        families.observations.set(gauge_value(observations));
        families.tasks.set(gauge_value(tasks));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

/// A count as the value of a gauge.
fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The metrics of one client. Clones are the same metrics. The default counts nothing.
#[derive(Clone, Default)]
pub struct ClientMetrics(Option<Arc<Counters>>);

impl fmt::Debug for ClientMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientMetrics")
    }
}

struct Counters {
    client: String,
    observers: Arc<Observers>,
    callers: Outcomes,
    flights: Outcomes,
    limits: Outcomes,
    compared: Outcomes,
    joined: Counter,
    would_have_joined: Counter,
    requests: Counter,
    resent: Counter,
    connects_retried: Counter,
    saved: Counter,
    would_have_saved: Counter,
    guest_time: Seconds,
    upstream_time: Seconds,
    flight_callers: Histogram,
    caller_time: Histogram,
    flight_time: Histogram,
}

/// A flight that has ended.
#[derive(Debug)]
pub(crate) struct FlightMetrics<'a> {
    /// An error code, or `ok`.
    pub(crate) outcome: &'static str,
    /// The limit that it reached.
    pub(crate) limit: Option<Limit>,
    /// The time from its opening to its end.
    pub(crate) age: Duration,
    pub(crate) record: FlightRecord<'a>,
}

/// One counter per outcome.
struct Outcomes(BTreeMap<&'static str, Counter>);

impl Outcomes {
    fn count(&self, outcome: &str) {
        if let Some(counter) = self.0.get(outcome) {
            counter.inc();
        }
    }
}

impl ClientMetrics {
    /// Counts a caller with its `outcome`, an error code, `ok` or `left`, and the `time` that it waited.
    pub(crate) fn caller(&self, outcome: &str, time: Duration) {
        if let Some(counters) = &self.0 {
            counters.callers.count(outcome);
            counters.caller_time.observe(time.as_secs_f64());
        }
    }

    /// Counts a caller that joined an open flight.
    pub(crate) fn joined(&self) {
        if let Some(counters) = &self.0 {
            counters.joined.inc();
        }
    }

    /// Counts a flight that has ended, and records it in all observations.
    pub(crate) fn flight(&self, flight: &FlightMetrics<'_>) {
        let Some(counters) = &self.0 else { return };
        let FlightRecord {
            callers,
            cost: FlightCost { requests, .. },
            would_have_joined,
            equal,
            ..
        } = flight.record;
        counters.observers.record(&counters.client, &flight.record);
        counters
            .flight_callers
            .observe(u32::try_from(callers).unwrap_or(u32::MAX).into());
        counters.flight_time.observe(flight.age.as_secs_f64());
        let saved = requests.saturating_mul(callers.saturating_sub(1));
        counters.saved.inc_by(saved as u64);
        if would_have_joined {
            counters.would_have_joined.inc();
            counters.would_have_saved.inc_by(requests as u64);
        }
        if let Some(equal) = equal {
            counters.compared.count(if equal { EQUAL } else { UNEQUAL });
        }
        if let Some(limit) = flight.limit {
            counters.limits.count(limit.name());
        }
        // Last, so that a flight which is counted is in the observations, too.
        counters.flights.count(flight.outcome);
    }

    /// Adds processor time of a guest.
    pub(crate) fn add_guest_time(&self, time: Duration) {
        if let Some(counters) = &self.0 {
            counters.guest_time.inc_by(time.as_secs_f64());
        }
    }

    /// Adds the time that requests of a flight were open.
    pub(crate) fn add_upstream_time(&self, time: Duration) {
        if let Some(counters) = &self.0 {
            counters.upstream_time.inc_by(time.as_secs_f64());
        }
    }

    /// Counts a request that is sent.
    pub(crate) fn request(&self) {
        if let Some(counters) = &self.0 {
            counters.requests.inc();
        }
    }

    /// Counts a request that is sent once more.
    pub(crate) fn resent(&self) {
        if let Some(counters) = &self.0 {
            counters.resent.inc();
        }
    }

    /// Counts a request whose connection took more than one attempt.
    pub(crate) fn connect_retried(&self) {
        if let Some(counters) = &self.0 {
            counters.connects_retried.inc();
        }
    }

    /// Counts a limit that was reached.
    pub(crate) fn limit(&self, limit: Limit) {
        if let Some(counters) = &self.0 {
            counters.limits.count(limit.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Call;

    /// A flight that sent two requests. `equal` is set if it was compared.
    fn flight(call: &Call, callers: usize, equal: Option<bool>) -> FlightMetrics<'_> {
        FlightMetrics {
            outcome: "guest-trap",
            limit: Some(Limit::Memory),
            age: Duration::from_secs(20),
            record: FlightRecord {
                call,
                callers,
                cost: FlightCost {
                    requests: 2,
                    ..FlightCost::default()
                },
                would_have_joined: equal.is_some(),
                equal,
            },
        }
    }

    #[test]
    fn what_sharing_saves_or_would_have_saved_is_counted_in_requests() {
        let metrics = Metrics::default();
        let client = metrics.client("orders");
        let key = "a key".into();
        client.flight(&flight(&key, 5, None));
        client.flight(&flight(&key, 1, Some(true)));
        client.flight(&flight(&key, 1, Some(true)));
        client.flight(&flight(&key, 1, Some(false)));
        let text = metrics.text(&[], 0);
        for line in [
            "oneflight_upstream_requests_saved_total{client=\"orders\"} 8\n",
            "oneflight_upstream_requests_would_have_saved_total{client=\"orders\"} 6\n",
            "oneflight_would_have_joined_total{client=\"orders\"} 3\n",
            "oneflight_answers_compared_total{client=\"orders\",outcome=\"equal\"} 2\n",
            "oneflight_answers_compared_total{client=\"orders\",outcome=\"unequal\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn the_series_of_a_client_are_there_from_its_start_and_are_no_more_later() {
        let metrics = Metrics::default();
        let client = metrics.client("orders");
        let series = || {
            let text = metrics.text(&[("orders", Gauges::default())], 0);
            text.lines().filter(|line| !line.starts_with('#')).count()
        };
        let before = series();
        client.caller("ok", Duration::from_millis(3));
        client.caller("left", Duration::ZERO);
        client.flight(&flight(&"a key".into(), 2, None));
        client.limit(Limit::Callers);
        assert_eq!(series(), before);
        metrics.client("orders").caller("ok", Duration::ZERO);
        let text = metrics.text(&[], 0);
        let line = "oneflight_callers_total{client=\"orders\",outcome=\"ok\"} 2\n";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("oneflight_callers_waiting{"), "{text}");
    }

    #[test]
    fn the_definitions_are_those_of_the_printed_text() {
        let metrics = Metrics::default();
        metrics.client("orders").caller("ok", Duration::ZERO);
        let text = metrics.text(&[("orders", Gauges::default())], 0);
        let printed: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
            .map(|(name, help)| (name.to_owned(), help.trim_end_matches('.').to_owned()))
            .collect();
        let defined = metrics.definitions().iter();
        let defined: Vec<_> = defined
            .map(|each| (each.family(), each.help.to_owned()))
            .collect();
        assert_eq!(printed, defined);
        for definition in metrics.definitions() {
            let name = definition.series_name();
            let series = text.lines().find_map(|line| {
                let rest = line.strip_prefix(&name)?;
                rest.starts_with([' ', '{']).then_some(rest)
            });
            let series = series.unwrap_or_else(|| panic!("{name} is not in {text}"));
            for label in definition.labels {
                assert!(series.contains(&format!("{label}=\"")), "{name}{series}");
            }
        }
    }

    #[test]
    fn what_flights_took_adds_up_in_seconds() {
        let metrics = Metrics::default();
        let client = metrics.client("orders");
        for (guest, upstream) in [(500, 1_000), (250, 0)] {
            client.add_guest_time(Duration::from_millis(guest));
            client.add_upstream_time(Duration::from_millis(upstream));
        }
        let text = metrics.text(&[], 0);
        for line in [
            "oneflight_guest_seconds_total{client=\"orders\"} 0.75\n",
            "oneflight_upstream_seconds_total{client=\"orders\"} 1.0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
