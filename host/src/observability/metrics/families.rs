//! [`Families`]: every metric, registered with its [`Definition`].

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::definition::{Definition, Labels, Series};
use super::histogram::Histogram;
use crate::model::Usage;

/// A sum of seconds.
pub(super) type Seconds = Counter<f64, AtomicU64>;

/// Upper bounds of latencies, in seconds: from what a flight without an upstream takes to its default timeout.
pub(crate) const LATENCIES: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Upper bounds of the number of callers of one flight.
const CALLERS: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByClient {
    pub(super) client: String,
}

impl Labels for ByClient {
    const NAMES: &[&str] = &["client"];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) client: String,
    pub(super) outcome: &'static str,
}

impl Labels for ByOutcome {
    const NAMES: &[&str] = &["client", "outcome"];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReason {
    pub(super) reason: &'static str,
}

impl Labels for ByReason {
    const NAMES: &[&str] = &["reason"];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByListener {
    pub(super) listener: &'static str,
}

impl Labels for ByListener {
    const NAMES: &[&str] = &["listener"];
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0)
    }
}

pub(super) type Histograms = Family<ByClient, Histogram, Buckets>;

/// What one client has in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Callers that wait for a flight.
    pub callers: usize,
    /// What the client uses.
    pub usage: Usage,
}

/// Reads one gauge of a client.
type ReadGauge = fn(&Gauges) -> usize;

#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) callers: Family<ByOutcome, Counter>,
    pub(super) flights: Family<ByOutcome, Counter>,
    pub(super) limits: Family<ByOutcome, Counter>,
    pub(super) compared: Family<ByOutcome, Counter>,
    pub(super) joined: Family<ByClient, Counter>,
    pub(super) would_have_joined: Family<ByClient, Counter>,
    pub(super) requests: Family<ByClient, Counter>,
    pub(super) resent: Family<ByClient, Counter>,
    pub(super) connects_retried: Family<ByClient, Counter>,
    pub(super) saved: Family<ByClient, Counter>,
    pub(super) would_have_saved: Family<ByClient, Counter>,
    pub(super) guest_time: Family<ByClient, Seconds>,
    pub(super) upstream_time: Family<ByClient, Seconds>,
    pub(super) flight_callers: Histograms,
    pub(super) caller_time: Histograms,
    pub(super) flight_time: Histograms,
    pub(super) lost_lines: Family<ByReason, Counter>,
    /// Set whenever they are read.
    pub(super) gauges: Vec<(Family<ByClient, Gauge>, ReadGauge)>,
    /// Set whenever they are read.
    pub(super) unread: Family<ByListener, Gauge>,
    /// Set whenever it is read.
    pub(super) observations: Gauge,
    /// Set whenever it is read.
    pub(super) tasks: Gauge,
    /// All of the above, in the order in which they are printed.
    pub(super) definitions: Vec<Definition>,
}

impl Families {
    /// Creates all of them, and registers each with its name and help text.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let mut registry = Registering {
            registry,
            definitions: Vec::new(),
        };
        Self {
            callers: registry.counters("callers", "Callers, by outcome"),
            flights: registry.counters("flights", "Flights, by outcome"),
            limits: registry.counters("limits", "Limits reached, by limit"),
            joined: registry.counters("joined", "Callers that joined an open flight"),
            would_have_joined: registry.counters(
                "would_have_joined",
                "Callers that would have joined an open flight if calls were shared",
            ),
            requests: registry.counters("upstream_requests", "Requests sent to upstreams"),
            resent: registry.counters(
                "upstream_requests_resent",
                "Requests sent once more, over a new connection, because the first one ended before their answer",
            ),
            connects_retried: registry.counters(
                "upstream_connects_retried",
                "Requests that waited for a connection because the upstream refused the first attempt to open one",
            ),
            saved: registry.counters(
                "upstream_requests_saved",
                "Requests that followers would have sent without sharing",
            ),
            would_have_saved: registry.counters(
                "upstream_requests_would_have_saved",
                "Requests that sharing would have saved if calls were shared",
            ),
            compared: registry.counters(
                "answers_compared",
                "Answers of overlapping flights of one key, compared with the first one, while calls are not shared",
            ),
            guest_time: registry.seconds("guest", "Processor time of guests, and of the host's work for them"),
            upstream_time: registry.seconds("upstream", "Time that upstream requests were open"),
            lost_lines: registry.counters(
                "log_lines_lost",
                "Lines that are not in the log: more than max_log_lines of a client (limit), or not written to stderr \
                 (output)",
            ),
            flight_callers: registry.histograms(
                "flight_callers",
                "Callers per flight, including those that left",
                None,
                &CALLERS,
            ),
            caller_time: registry.histograms(
                "caller_duration",
                "Time from a call to its reply",
                Some(Unit::Seconds),
                &LATENCIES,
            ),
            flight_time: registry.histograms(
                "flight_duration",
                "Time from the opening of a flight to its end",
                Some(Unit::Seconds),
                &LATENCIES,
            ),
            gauges: registry.client_gauges(),
            unread: registry.add(
                "unread_bytes",
                "Bytes held for callers, and for the admin API: requests in progress, and answers that are not read yet",
                None,
                ByListener::NAMES,
                Family::default(),
            ),
            tasks: registry.add(
                "tasks",
                "Tasks of the process, including one for each connection",
                None,
                &[],
                Gauge::default(),
            ),
            observations: registry.add(
                "observations",
                "Observations in progress",
                None,
                &[],
                Gauge::default(),
            ),
            // The last field: the fields above are evaluated first.
            definitions: registry.definitions,
        }
    }
}

/// A registry, filled one metric at a time.
struct Registering<'a> {
    registry: &'a mut Registry,
    definitions: Vec<Definition>,
}

impl Registering<'_> {
    /// What each client uses at the moment.
    fn client_gauges(&mut self) -> Vec<(Family<ByClient, Gauge>, ReadGauge)> {
        vec![
            self.gauge("callers_waiting", "Callers that wait for a flight", |of| {
                of.callers
            }),
            self.gauge(
                "flights_waiting",
                "Flights that wait for a permit to execute",
                |of| of.usage.waiting,
            ),
            self.gauge("flights_running", "Flights whose guest runs", |of| {
                of.usage.running
            }),
            self.gauge(
                "flights_computing",
                "Flights whose guest computes for long, or waits for its turn to",
                |of| of.usage.computing,
            ),
            self.gauge("instances_idle", "Idle instances in the pool", |of| {
                of.usage.idle
            }),
            self.gauge(
                "memory_bytes",
                "Memory of all instances, running and idle, and what the host holds for them",
                |of| of.usage.memory,
            ),
            self.gauge("upstream_connections", "Connections to upstreams", |of| {
                of.usage.connections
            }),
        ]
    }

    fn add<M: Metric + Clone>(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        labels: &'static [&'static str],
        metric: M,
    ) -> M {
        let in_seconds = unit.is_some();
        self.definitions.push(Definition {
            name,
            help,
            in_seconds,
            series: Series::of(metric.metric_type()),
            labels,
        });
        match unit {
            Some(unit) => self
                .registry
                .register_with_unit(name, help, unit, metric.clone()),
            None => self.registry.register(name, help, metric.clone()),
        }
        metric
    }

    fn counters<L: Labels>(&mut self, name: &'static str, help: &'static str) -> Family<L, Counter>
    where
        Family<L, Counter>: Metric + Clone + Default,
    {
        self.add(name, help, None, L::NAMES, Family::default())
    }

    fn seconds(&mut self, name: &'static str, help: &'static str) -> Family<ByClient, Seconds> {
        let unit = Some(Unit::Seconds);
        self.add(name, help, unit, ByClient::NAMES, Family::default())
    }

    fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        bounds: &'static [f64],
    ) -> Histograms {
        let histograms = Histograms::new_with_constructor(Buckets(bounds));
        self.add(name, help, unit, ByClient::NAMES, histograms)
    }

    fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: ReadGauge,
    ) -> (Family<ByClient, Gauge>, ReadGauge) {
        let family = self.add(name, help, None, ByClient::NAMES, Family::default());
        (family, read)
    }
}
