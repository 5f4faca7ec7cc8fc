//! When things began and ended, for the demo's picture.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oneflight::client::{Answer, Client, Generation, Key};
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

/// Notes what ended since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<(Lane, Instant, Instant)>>);

/// Something under way: noted when it is dropped.
pub(super) struct Open {
    recorder: Arc<Recorder>,
    lane: Lane,
    began: Instant,
}

impl Recorder {
    pub(super) fn begin(self: &Arc<Self>, lane: Lane) -> Open {
        Open {
            recorder: Arc::clone(self),
            lane,
            began: Instant::now(),
        }
    }

    /// All that ended since the last call, ordered by when it began.
    pub(super) fn take(&self, origin: Instant) -> Vec<Span> {
        let milliseconds = |at: Instant| milliseconds(at.duration_since(origin));
        let mut spans: Vec<Span> = self
            .lock()
            .drain(..)
            .map(|(lane, from, to)| Span {
                lane,
                from: milliseconds(from),
                to: milliseconds(to),
            })
            .collect();
        spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        spans
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Lane, Instant, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.recorder
            .lock()
            .push((self.lane, self.began, Instant::now()));
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

impl<C: Client> Client for Recorded<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    async fn get_items(&self, key: Key) -> Answer {
        let _span = self.recorder.begin(Lane::GuestCall);
        self.next.get_items(key).await
    }
}
