//! [`Summary`]: the totals of the calls that a command has made.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use oneflight::Reply;
use serde::Serialize;

use super::format::count;

/// The totals of all calls of a command.
#[derive(Serialize)]
pub(super) struct Summary {
    callers: usize,
    flights: usize,
    upstream_requests: u64,
    seconds: f64,
}

impl Summary {
    /// The totals of `replies`, which took `time` and caused `upstream_requests`.
    pub(super) fn new<'a>(
        replies: impl IntoIterator<Item = &'a Reply>,
        upstream_requests: u64,
        time: Duration,
    ) -> Self {
        let (mut callers, mut flights) = (0, HashSet::new());
        for reply in replies {
            callers += 1;
            flights.extend(reply.flight.map(|info| info.flight));
        }
        Self {
            callers,
            flights: flights.len(),
            upstream_requests,
            seconds: time.as_secs_f64(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callers = count(self.callers as u64, "caller");
        let flights = count(self.flights as u64, "flight");
        let requests = count(self.upstream_requests, "upstream request");
        write!(f, "{callers}, {flights}, {requests}, {:.3} s", self.seconds)
    }
}
