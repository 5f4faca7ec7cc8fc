//! The test harness: a runtime whose tasks run on request, futures that are polled by hand, and work whose
//! end the test chooses.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use single_flight::{CallOutput, Error, FlightId, Group, Policy};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A group with the default policy.
pub(crate) fn group() -> Group<&'static str, u32> {
    Group::new(Policy::default())
}

/// All counts of a group: flights, callers, entries.
pub(crate) fn counts<K, V>(group: &Group<K, V>) -> [usize; 3]
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    [group.flights(), group.callers(), group.entries()]
}

/// A runtime on this thread. Its tasks run only in [`Executor::run`].
pub(crate) struct Executor {
    pub(crate) runtime: Runtime,
}

impl Executor {
    pub(crate) fn new() -> Self {
        Self {
            runtime: Builder::new_current_thread()
                .build()
                .expect("a runtime without drivers"),
        }
    }

    /// Polls a future once, with this runtime as the current one.
    pub(crate) fn poll<F: Future>(&self, future: &mut ManualFuture<F>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        future.poll()
    }

    /// Runs the tasks until all of them are waiting.
    pub(crate) fn run(&self) {
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// A future that is polled by hand.
pub(crate) struct ManualFuture<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<F: Future> ManualFuture<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            wakes: Arc::default(),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.poll_with(&waker)
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// The future itself, to be awaited.
    pub(crate) fn finish(self) -> Pin<Box<F>> {
        self.future
    }

    /// How often the future was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

/// The outcome of a call that must be ready.
pub(crate) fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("expected the call to be ready, got pending"),
    }
}

/// The output of a call that must have one.
pub(crate) fn output<V>(poll: Poll<Result<CallOutput<V>, Error>>) -> CallOutput<V> {
    ready(poll).expect("expected an output, got an error")
}

/// The error of a call that must have failed.
pub(crate) fn error<V>(poll: Poll<Result<CallOutput<V>, Error>>) -> Error {
    match ready(poll) {
        Ok(_) => panic!("expected an error, got an output"),
        Err(error) => error,
    }
}

/// The message of the panic of `f`, which must panic.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("expected a panic");
    };
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("a panic with a text")
}

/// The test's control of some work: it ends the work, and counts its calls, polls and drops.
pub(crate) struct Job {
    ending: Option<oneshot::Sender<JobEnd>>,
    counts: Arc<WorkCounts>,
}

#[derive(Default)]
struct WorkCounts {
    calls: AtomicUsize,
    polls: AtomicUsize,
    drops: AtomicUsize,
}

enum JobEnd {
    Land(u32),
    Panic(&'static str),
}

/// Counts the drop of the work, or of the future that it became.
struct Dropped(Arc<WorkCounts>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl Job {
    /// Work that waits, and its control.
    pub(crate) fn new() -> (
        Self,
        impl FnOnce(FlightId) -> Pin<Box<dyn Future<Output = u32> + Send>> + Send + 'static,
    ) {
        let (ending, ended) = oneshot::channel();
        let counts = Arc::new(WorkCounts::default());
        let dropped = Dropped(Arc::clone(&counts));
        let work = move |_flight| {
            dropped.0.calls.fetch_add(1, Ordering::Relaxed);
            let future = async move {
                let mut ended = std::pin::pin!(ended);
                let ending = poll_fn(|cx| {
                    dropped.0.polls.fetch_add(1, Ordering::Relaxed);
                    ended.as_mut().poll(cx)
                });
                match ending.await.expect("the test ends the work") {
                    JobEnd::Land(value) => value,
                    JobEnd::Panic(message) => panic!("{message}"),
                }
            };
            Box::pin(future) as Pin<Box<dyn Future<Output = u32> + Send>>
        };
        let ending = Some(ending);
        (Self { ending, counts }, work)
    }

    pub(crate) fn land(&mut self, value: u32) {
        self.end(JobEnd::Land(value));
    }

    pub(crate) fn panic(&mut self, message: &'static str) {
        self.end(JobEnd::Panic(message));
    }

    fn end(&mut self, ending: JobEnd) {
        // The work may have been dropped; then there is nothing to end.
        let _ = self.ending.take().expect("work ends once").send(ending);
    }

    /// How often the work was called, polled and dropped.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let WorkCounts {
            calls,
            polls,
            drops,
        } = &*self.counts;
        [calls, polls, drops].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Work that must not be called.
pub(crate) async fn never(_flight: FlightId) -> u32 {
    panic!("this work must not run")
}

/// Work that ends only by being dropped.
pub(crate) async fn endless(_flight: FlightId) -> u32 {
    std::future::pending().await
}

/// A clock that the test advances.
#[derive(Clone)]
pub(crate) struct ManualClock {
    start: Instant,
    passed: Arc<AtomicU64>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed: Arc::default(),
        }
    }

    /// A clock function for a group.
    pub(crate) fn source(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let Self { start, passed } = self.clone();
        move || start + Duration::from_millis(passed.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, milliseconds: u64) {
        self.passed.fetch_add(milliseconds, Ordering::Relaxed);
    }
}
