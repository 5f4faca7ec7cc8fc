//! [`Recorder`]: when callers, guest calls and upstream requests begin and end, for the demo's timeline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oneflight::model::Generation;
use oneflight::{Call, ClientError, Execute, FlightContext, Outcome};
use serde::Serialize;

/// A kind of span, drawn on lines of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Lane {
    Caller,
    GuestCall,
    UpstreamRequest,
}

/// A span that ended, in milliseconds since the run began.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TimelineSpan {
    pub(super) lane: Lane,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Milliseconds, rounded to the microsecond.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Records spans.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Recording>);

/// Spans in the order in which they began.
#[derive(Debug, Default)]
struct Recording {
    /// Whether further spans are ignored.
    stopped: bool,
    next: u64,
    spans: BTreeMap<u64, (Lane, Instant, Option<Instant>)>,
}

/// An open span, which ends when it is dropped.
pub(super) struct SpanGuard {
    recorder: Arc<Recorder>,
    number: u64,
}

impl Recorder {
    pub(super) fn begin(self: &Arc<Self>, lane: Lane) -> SpanGuard {
        let mut recording = self.lock();
        let number = recording.next;
        recording.next += 1;
        if !recording.stopped {
            recording.spans.insert(number, (lane, Instant::now(), None));
        }
        SpanGuard {
            recorder: Arc::clone(self),
            number,
        }
    }

    /// Records nothing from now on.
    pub(super) fn stop(&self) {
        let mut recording = self.lock();
        recording.stopped = true;
        recording.spans.clear();
    }

    /// All spans since the last [`Recorder::take`]; the end of an open one is now.
    pub(super) fn so_far(&self, origin: Instant) -> Vec<TimelineSpan> {
        let now = Instant::now();
        let spans = self.lock().spans.clone();
        let span = |(lane, from, to): (_, _, Option<_>)| {
            TimelineSpan::new(origin, lane, from, to.unwrap_or(now))
        };
        spans.into_values().map(span).collect()
    }

    /// All spans that ended since the last call, in the order in which they began. Open ones are discarded.
    pub(super) fn take(&self, origin: Instant) -> Vec<TimelineSpan> {
        let spans = std::mem::take(&mut self.lock().spans);
        let span =
            |(lane, from, to): (_, _, Option<_>)| Some(TimelineSpan::new(origin, lane, from, to?));
        spans.into_values().filter_map(span).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimelineSpan {
    fn new(origin: Instant, lane: Lane, from: Instant, to: Instant) -> Self {
        let milliseconds = |at: Instant| milliseconds(at.saturating_duration_since(origin));
        Self {
            lane,
            from: milliseconds(from),
            to: milliseconds(to),
        }
    }
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if let Some((.., to)) = self.recorder.lock().spans.get_mut(&self.number) {
            *to = Some(Instant::now());
        }
    }
}

/// Records each execution of `next`.
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
