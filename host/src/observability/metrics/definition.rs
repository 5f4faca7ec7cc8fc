//! [`Definition`]: what a metric is named, counts, and is labelled with.

use prometheus_client::metrics::MetricType;

/// The prefix of the names of all metrics.
pub(super) const PREFIX: &str = "oneflight";

/// A set of labels.
pub(super) trait Labels {
    /// The names of the labels.
    const NAMES: &[&str];
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    /// The name, without the prefix of all metrics, the unit and the suffix of its kind.
    pub(crate) name: &'static str,
    /// What it counts, without a full stop.
    pub(crate) help: &'static str,
    /// Whether its values are seconds, which its printed name states.
    pub(crate) in_seconds: bool,
    /// What its series hold.
    pub(crate) series: Series,
    /// The names of its labels.
    pub(crate) labels: &'static [&'static str],
}

/// What the series of a metric hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// A count since the start of the process.
    Counter,
    /// A value at the moment.
    Gauge,
    /// Counts by bucket since the start of the process.
    Buckets,
}

impl Definition {
    /// The printed name, as `oneflight_caller_duration_seconds`.
    pub(crate) fn family(&self) -> String {
        let unit = if self.in_seconds { "_seconds" } else { "" };
        format!("{PREFIX}_{}{unit}", self.name)
    }

    /// The name of its series, as `oneflight_caller_duration_seconds_bucket`.
    pub(crate) fn series_name(&self) -> String {
        let suffix = match self.series {
            Series::Counter => "_total",
            Series::Gauge => "",
            Series::Buckets => "_bucket",
        };
        self.family() + suffix
    }
}

impl Series {
    pub(super) fn of(kind: MetricType) -> Self {
        match kind {
            MetricType::Counter => Self::Counter,
            MetricType::Histogram => Self::Buckets,
            _ => Self::Gauge,
        }
    }
}
