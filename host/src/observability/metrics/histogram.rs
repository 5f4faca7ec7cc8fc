//! [`Histogram`]: counts of values between bounds, without a lock.
//!
//! It exists because the counts of prometheus-client's `Histogram` cannot be read except as text in the exposition
//! format, and the dashboard needs them as numbers. It is finer, too: each range between two bounds is counted
//! in [`STEPS`] equal parts, which the exposition format adds up again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Parts per range: a value is known to an eighth of its range.
pub(crate) const STEPS: usize = 8;

/// Counts of values by part. Clones are the same histogram.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// Upper bounds, ascending and positive. A value that equals one is within it.
    bounds: &'static [f64],
    /// [`STEPS`] for each bound, and one for values above all bounds.
    parts: Box<[AtomicU64]>,
    sum: Counter<f64, AtomicU64>,
}

impl Histogram {
    /// An empty histogram for values that are not negative.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let parts = (0..=bounds.len() * STEPS).map(|_| AtomicU64::new(0));
        Self(Arc::new(Counts {
            bounds,
            parts: parts.collect(),
            sum: Counter::default(),
        }))
    }

    pub(super) fn observe(&self, value: f64) {
        self.0.parts[self.0.part_of(value)].fetch_add(1, Ordering::Relaxed);
        self.0.sum.inc_by(value);
    }

    /// The parts that have values, by index, with their counts.
    pub(super) fn counted(&self) -> Vec<(usize, u64)> {
        let counts = self.0.parts.iter().map(|part| part.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0).collect()
    }
}

impl Counts {
    fn part_of(&self, value: f64) -> usize {
        let range = self.bounds.partition_point(|bound| *bound < value);
        let Some(upper) = self.bounds.get(range) else {
            return self.bounds.len() * STEPS;
        };
        let lower = range.checked_sub(1).map_or(0.0, |below| self.bounds[below]);
        let step = (value - lower) / (upper - lower) * STEPS as f64;
        range * STEPS + (step as usize).min(STEPS - 1)
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = &*self.0;
        let bounds = counts.bounds.iter().copied().chain([f64::INFINITY]);
        let ranges = counts.parts.chunks(STEPS);
        let buckets: Vec<(f64, u64)> = bounds
            .zip(ranges)
            .map(|(bound, parts)| {
                let counted = parts.iter().map(|part| part.load(Ordering::Relaxed));
                (bound, counted.sum())
            })
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(counts.sum.get(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram;
    use prometheus_client::registry::{Metric, Registry};

    use super::*;

    const BOUNDS: [f64; 3] = [0.5, 1.0, 9.0];

    /// Below, on and above every bound, and within a range.
    const VALUES: [f64; 9] = [0.0, 0.25, 0.5, 0.5000001, 1.0, 1.5, 8.99, 9.0, 9.5];

    fn text(histogram: impl Metric) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("time", "Of something", histogram);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn its_text_equals_that_of_prometheus_clients_histogram() {
        let ours = Histogram::new(&BOUNDS);
        let theirs = histogram::Histogram::new(BOUNDS);
        assert_eq!(text(ours.clone()), text(theirs.clone()));
        for value in VALUES {
            ours.observe(value);
            theirs.observe(value);
        }
        assert_eq!(text(ours), text(theirs));
    }

    #[test]
    fn a_value_is_counted_in_an_eighth_of_its_range() {
        let histogram = Histogram::new(&BOUNDS);
        for value in VALUES {
            histogram.observe(value);
        }
        let counted = [
            (0, 1),
            (4, 1),
            (7, 1),
            (8, 1),
            (15, 1),
            (16, 1),
            (23, 2),
            (24, 1),
        ];
        assert_eq!(histogram.counted(), counted);
    }
}
