//! [`Totals`]: the counts of a client since the start of the service, as numbers for the dashboard.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ClientMetrics, Outcomes};

/// The counts of one client.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// By outcome. Outcomes that did not occur are left out.
    callers: BTreeMap<&'static str, u64>,
    /// By outcome, in the same way.
    flights: BTreeMap<&'static str, u64>,
    joined: u64,
    would_have_joined: u64,
    requests: u64,
    saved: u64,
    would_have_saved: u64,
    /// Answers that would have been shared, by `equal` and `unequal`.
    compared: BTreeMap<&'static str, u64>,
    /// Counts of callers by the part of [`LATENCIES`](super::LATENCIES) that their time fell into.
    caller_time: Vec<(usize, u64)>,
    flight_time: Vec<(usize, u64)>,
}

impl ClientMetrics {
    /// The counts so far.
    pub(crate) fn totals(&self) -> Totals {
        let Some(counters) = &self.0 else {
            return Totals::default();
        };
        Totals {
            callers: counters.callers.counted(),
            flights: counters.flights.counted(),
            joined: counters.joined.get(),
            would_have_joined: counters.would_have_joined.get(),
            requests: counters.requests.get(),
            saved: counters.saved.get(),
            would_have_saved: counters.would_have_saved.get(),
            compared: counters.compared.counted(),
            caller_time: counters.caller_time.counted(),
            flight_time: counters.flight_time.counted(),
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
