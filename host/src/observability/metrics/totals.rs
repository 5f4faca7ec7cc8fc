//! [`Totals`]: what a client has come to since its start, as numbers to reckon with.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ClientMetrics, Outcomes};

/// The counts of one client.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// By what they were told; an outcome that nobody had is not there.
    callers: BTreeMap<&'static str, u64>,
    /// By how they ended, in the same way.
    flights: BTreeMap<&'static str, u64>,
    joined: u64,
    would_have_joined: u64,
    requests: u64,
    saved: u64,
    would_have_saved: u64,
    /// Answers that would have been shared, by whether they were `equal` or `unequal`.
    compared: BTreeMap<&'static str, u64>,
    /// Counts of callers by the part of [`LATENCIES`](super::LATENCIES) that their time fell into.
    caller_time: Vec<(usize, u64)>,
    flight_time: Vec<(usize, u64)>,
}

impl ClientMetrics {
    /// What has been counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let Some(figures) = &self.0 else {
            return Totals::default();
        };
        Totals {
            callers: figures.callers.counted(),
            flights: figures.flights.counted(),
            joined: figures.joined.get(),
            would_have_joined: figures.would_have_joined.get(),
            requests: figures.requests.get(),
            saved: figures.saved.get(),
            would_have_saved: figures.would_have_saved.get(),
            compared: figures.compared.counted(),
            caller_time: figures.caller_time.counted(),
            flight_time: figures.flight_time.counted(),
        }
    }
}

impl Outcomes {
    fn counted(&self) -> BTreeMap<&'static str, u64> {
        let counts = self
            .0
            .iter()
            .map(|(outcome, count)| (*outcome, count.get()));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
