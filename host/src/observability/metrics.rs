//! [`Metrics`]: what a service has done, in figures that Prometheus reads.
//!
//! Series are named by client and outcome and by nothing else, and all of a client's are there from its
//! start: how many there are does not depend on what callers ask. Counts go on when a client is loaded
//! anew.

mod histogram;
mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use self::histogram::Histogram;
pub(crate) use self::histogram::STEPS;
pub(crate) use self::totals::Totals;
use super::observation::{Observation, Observers};
use crate::model::{ClientError, FlightCost, FlightRecord, Limit, Usage};

/// Seconds that add up.
type Seconds = Counter<f64, AtomicU64>;

/// Upper bounds of latencies, in seconds: from what a flight takes without an upstream to its deadline.
pub(crate) const LATENCIES: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Upper bounds of callers on one flight.
const CALLERS: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0];

/// An answer was the same as the one it would have been shared as, or another.
const EQUAL: &str = "equal";
const UNEQUAL: &str = "unequal";

/// The figures of a service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    observers: Arc<Observers>,
    /// Set when it is read.
    observations: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClient {
    client: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    client: String,
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0)
    }
}

type Histograms = Family<ByClient, Histogram, Buckets>;

#[derive(Clone, Debug)]
struct Families {
    callers: Family<ByOutcome, Counter>,
    flights: Family<ByOutcome, Counter>,
    limits: Family<ByOutcome, Counter>,
    compared: Family<ByOutcome, Counter>,
    joined: Family<ByClient, Counter>,
    would_have_joined: Family<ByClient, Counter>,
    requests: Family<ByClient, Counter>,
    saved: Family<ByClient, Counter>,
    would_have_saved: Family<ByClient, Counter>,
    guest_time: Family<ByClient, Seconds>,
    upstream_time: Family<ByClient, Seconds>,
    flight_callers: Histograms,
    caller_time: Histograms,
    flight_time: Histograms,
    /// Set when they are read.
    now: Vec<(Family<ByClient, Gauge>, ReadGauge)>,
    tasks: Gauge,
}

type ReadGauge = fn(&Gauges) -> usize;

/// What one client has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Callers that wait for a flight.
    pub callers: usize,
    /// What its guest has.
    pub usage: Usage,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("oneflight");
        let families = Families::registered(&mut registry);
        let observations = Gauge::default();
        let help = "Observations that go on now";
        registry.register("observations", help, observations.clone());
        Self {
            observations,
            registry,
            families,
            observers: Arc::default(),
        }
    }
}

impl Families {
    fn registered(registry: &mut Registry) -> Self {
        let latencies = || Histograms::new_with_constructor(Buckets(&LATENCIES));
        let families = Self {
            callers: Family::default(),
            flights: Family::default(),
            limits: Family::default(),
            compared: Family::default(),
            joined: Family::default(),
            would_have_joined: Family::default(),
            requests: Family::default(),
            saved: Family::default(),
            would_have_saved: Family::default(),
            guest_time: Family::default(),
            upstream_time: Family::default(),
            flight_callers: Histograms::new_with_constructor(Buckets(&CALLERS)),
            caller_time: latencies(),
            flight_time: latencies(),
            now: vec![
                (Family::default(), |now| now.callers),
                (Family::default(), |now| now.usage.waiting),
                (Family::default(), |now| now.usage.running),
                (Family::default(), |now| now.usage.idle),
                (Family::default(), |now| now.usage.connections),
            ],
            tasks: Gauge::default(),
        };
        let all = families.clone();
        registry.register("callers", "Callers, by what they were told", all.callers);
        registry.register("flights", "Flights, by how they ended", all.flights);
        registry.register("limits", "Limits that were reached, by which", all.limits);
        let help = "Callers that joined a flight which was under way";
        registry.register("joined", help, all.joined);
        let help = "Callers that would have joined one, where nothing is shared";
        registry.register("would_have_joined", help, all.would_have_joined);
        let help = "Requests that were sent to upstreams";
        registry.register("upstream_requests", help, all.requests);
        let help = "Requests that callers who joined would have had sent, each for itself";
        registry.register("upstream_requests_saved", help, all.saved);
        let help =
            "Requests that were sent for callers who would have joined, where nothing is shared";
        registry.register(
            "upstream_requests_would_have_saved",
            help,
            all.would_have_saved,
        );
        let help = "Answers of overlapping flights of one key, compared with the first, where nothing is shared";
        registry.register("answers_compared", help, all.compared);
        let mut timed = |name: &str, help: &str, seconds: Family<ByClient, Seconds>| {
            registry.register_with_unit(name, help, Unit::Seconds, seconds);
        };
        timed("guest", "Processor time of guests", all.guest_time);
        timed(
            "upstream",
            "Time that requests to upstreams took",
            all.upstream_time,
        );
        let help = "Callers of one flight, those included that left";
        registry.register("flight_callers", help, all.flight_callers);
        let mut timed = |name: &str, help: &str, times: Histograms| {
            registry.register_with_unit(name, help, Unit::Seconds, times);
        };
        timed("caller_duration", "From asking to answer", all.caller_time);
        timed("flight_duration", "From opening to end", all.flight_time);
        let now = [
            ("callers_waiting", "Callers that wait for a flight now"),
            (
                "flights_waiting",
                "Flights that wait for a permit to run now",
            ),
            ("flights_running", "Flights whose guest runs now"),
            (
                "instances_idle",
                "Instances that wait for their next flight now",
            ),
            ("upstream_connections", "Connections to upstreams now"),
        ];
        for ((name, help), (gauges, _)) in now.into_iter().zip(all.now) {
            registry.register(name, help, gauges);
        }
        let help = "Tasks of the process now, that of each connection included";
        registry.register("tasks", help, all.tasks);
        families
    }
}

impl Metrics {
    /// The figures of the client `name`, the same whenever it is asked for.
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
            saved: count(&families.saved),
            would_have_saved: count(&families.would_have_saved),
            guest_time: seconds(&families.guest_time),
            upstream_time: seconds(&families.upstream_time),
            flight_callers: histogram(&families.flight_callers),
            caller_time: histogram(&families.caller_time),
            flight_time: histogram(&families.flight_time),
        })))
    }

    /// Notes from now on who asks for what. `None` where as many observations go on as may.
    #[must_use]
    pub fn observe(&self) -> Option<Observation> {
        self.observers.observe()
    }

    /// All figures, with what each client has under way `now` and how many `tasks` the process has, in the
    /// OpenMetrics text format 1.0.
    ///
    /// # Panics
    ///
    /// Never: a text has room for more.
    #[must_use]
    pub fn text(&self, now: &[(&str, Gauges)], tasks: usize) -> String {
        for (gauges, read) in &self.families.now {
            gauges.clear();
            for (name, now) in now {
                let client = (*name).to_owned();
                gauges
                    .get_or_create(&ByClient { client })
                    .set(level(read(now)));
            }
        }
        self.observations.set(level(self.observers.len()));
        self.families.tasks.set(level(tasks));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a text has room for more");
        text
    }
}

/// What a gauge shows of a count.
fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The figures of one client, to be counted up. Clones are the same figures; by default there are none,
/// and nothing is counted.
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
    /// What its callers were told: a code, or `ok`.
    pub(crate) outcome: &'static str,
    /// The limit that it reached.
    pub(crate) limit: Option<Limit>,
    /// From its opening to its end.
    pub(crate) age: Duration,
    pub(crate) record: FlightRecord<'a>,
}

/// A counter for each of some outcomes.
struct Outcomes(BTreeMap<&'static str, Counter>);

impl Outcomes {
    fn count(&self, outcome: &str) {
        if let Some(counter) = self.0.get(outcome) {
            counter.inc();
        }
    }
}

impl ClientMetrics {
    /// A caller was told `outcome`, a code or `ok`, or left, after `time`.
    pub(crate) fn caller(&self, outcome: &str, time: Duration) {
        if let Some(figures) = &self.0 {
            figures.callers.count(outcome);
            figures.caller_time.observe(time.as_secs_f64());
        }
    }

    /// A caller found a flight under way.
    pub(crate) fn joined(&self) {
        if let Some(figures) = &self.0 {
            figures.joined.inc();
        }
    }

    /// A flight ended.
    pub(crate) fn flight(&self, flight: &FlightMetrics<'_>) {
        let Some(figures) = &self.0 else { return };
        let FlightRecord {
            callers,
            cost: FlightCost { requests, .. },
            would_have_joined,
            equal,
            ..
        } = flight.record;
        figures.observers.record(&figures.client, &flight.record);
        figures
            .flight_callers
            .observe(u32::try_from(callers).unwrap_or(u32::MAX).into());
        figures.flight_time.observe(flight.age.as_secs_f64());
        let saved = requests.saturating_mul(callers.saturating_sub(1));
        figures.saved.inc_by(saved as u64);
        if would_have_joined {
            figures.would_have_joined.inc();
            figures.would_have_saved.inc_by(requests as u64);
        }
        if let Some(equal) = equal {
            figures.compared.count(if equal { EQUAL } else { UNEQUAL });
        }
        if let Some(limit) = flight.limit {
            figures.limits.count(limit.name());
        }
        // Last: a flight that is counted is noted, too.
        figures.flights.count(flight.outcome);
    }

    /// Adds the cost of a flight that has ended.
    pub(crate) fn add_cost(&self, cost: FlightCost) {
        if let Some(figures) = &self.0 {
            figures.guest_time.inc_by(cost.guest.as_secs_f64());
            figures.upstream_time.inc_by(cost.upstream.as_secs_f64());
        }
    }

    /// A request is sent.
    pub(crate) fn request(&self) {
        if let Some(figures) = &self.0 {
            figures.requests.inc();
        }
    }

    /// This limit was reached.
    pub(crate) fn limit(&self, limit: Limit) {
        if let Some(figures) = &self.0 {
            figures.limits.count(limit.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Call;

    /// One that sent two requests; where nothing is shared, whether its answer was equal to another.
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
    fn what_flights_took_adds_up_in_seconds() {
        let metrics = Metrics::default();
        let client = metrics.client("orders");
        let cost = |guest, upstream| FlightCost {
            requests: 1,
            guest: Duration::from_millis(guest),
            upstream: Duration::from_millis(upstream),
        };
        client.add_cost(cost(500, 1_000));
        client.add_cost(cost(250, 0));
        let text = metrics.text(&[], 0);
        for line in [
            "oneflight_guest_seconds_total{client=\"orders\"} 0.75\n",
            "oneflight_upstream_seconds_total{client=\"orders\"} 1.0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
