//! When things began and ended, for the demo's picture.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oneflight::model::Generation;
use oneflight::{Call, ClientError, Execute, FlightContext, Outcome};
use serde::Serialize;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Lane {
    Caller,
    GuestCall,
    UpstreamRequest,
}

/// Something that began and ended, in milliseconds since the run began.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Span {
    pub(super) lane: Lane,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// To the microsecond: what is finer says nothing.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Notes what begins and ends.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Recording>);

/// By the order in which they began.
#[derive(Debug, Default)]
struct Recording {
    /// Nobody draws it any more.
    stopped: bool,
    next: u64,
    spans: BTreeMap<u64, (Lane, Instant, Option<Instant>)>,
}

/// Something under way, until it is dropped.
pub(super) struct Open {
    recorder: Arc<Recorder>,
    number: u64,
}

impl Recorder {
    pub(super) fn begin(self: &Arc<Self>, lane: Lane) -> Open {
        let mut noted = self.lock();
        let number = noted.next;
        noted.next += 1;
        if !noted.stopped {
            noted.spans.insert(number, (lane, Instant::now(), None));
        }
        Open {
            recorder: Arc::clone(self),
            number,
        }
    }

    /// From now on nothing is noted.
    pub(super) fn stop(&self) {
        let mut noted = self.lock();
        noted.stopped = true;
        noted.spans.clear();
    }

    /// All that began since the last [`Recorder::take`]; what is under way ends now.
    pub(super) fn so_far(&self, origin: Instant) -> Vec<Span> {
        let now = Instant::now();
        let spans = self.lock().spans.clone();
        let span =
            |(lane, from, to): (_, _, Option<_>)| Span::new(origin, lane, from, to.unwrap_or(now));
        spans.into_values().map(span).collect()
    }

    /// All that ended since the last call, ordered by when it began. What is under way is forgotten.
    pub(super) fn take(&self, origin: Instant) -> Vec<Span> {
        let spans = std::mem::take(&mut self.lock().spans);
        let span = |(lane, from, to): (_, _, Option<_>)| Some(Span::new(origin, lane, from, to?));
        spans.into_values().filter_map(span).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    fn new(origin: Instant, lane: Lane, from: Instant, to: Instant) -> Self {
        let milliseconds = |at: Instant| milliseconds(at.saturating_duration_since(origin));
        Self {
            lane,
            from: milliseconds(from),
            to: milliseconds(to),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((.., to)) = self.recorder.lock().spans.get_mut(&self.number) {
            *to = Some(Instant::now());
        }
    }
}

/// Notes each call of `next`.
#[derive(Clone, Debug)]
pub(super) struct Recorded<C> {
    next: C,
    recorder: Arc<Recorder>,
}

impl<C> Recorded<C> {
    pub(super) fn new(next: C, recorder: Arc<Recorder>) -> Self {
        Self { next, recorder }
    }
}

impl<E: Execute> Execute for Recorded<E> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    async fn execute(&self, call: Call, context: &FlightContext) -> Result<Outcome, ClientError> {
        let _span = self.recorder.begin(Lane::GuestCall);
        self.next.execute(call, context).await
    }
}
