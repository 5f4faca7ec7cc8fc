//! What the tests hold in their hands: a runtime that runs when told to, futures polled one poll at a
//! time, and work that ends as the test says.

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

/// A group of the kind most tests want.
pub(crate) fn group() -> Group<&'static str, u32> {
    Group::new(Policy::default())
}

/// Every count a group has: flights, callers, entries.
pub(crate) fn counts<K, V>(group: &Group<K, V>) -> [usize; 3]
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    [group.flights(), group.callers(), group.entries()]
}

/// A runtime on this thread. Tasks are spawned on it while it is entered, and run only in
/// [`Stage::run`].
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            runtime: Builder::new_current_thread()
                .build()
                .expect("a runtime without drivers"),
        }
    }

    /// Polls a future once, with this runtime as the current one.
    pub(crate) fn poll<F: Future>(&self, hand: &mut Hand<F>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        hand.poll()
    }

    /// Runs the tasks until none of them can go on.
    pub(crate) fn run(&self) {
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// A future that is polled by hand.
pub(crate) struct Hand<F> {
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

impl<F: Future> Hand<F> {
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

    /// Leaves the hand: polled by whoever awaits it.
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
        Poll::Pending => panic!("the call must be ready"),
    }
}

/// The answer of a call that must have one.
pub(crate) fn answer<V>(poll: Poll<Result<CallOutput<V>, Error>>) -> CallOutput<V> {
    ready(poll).expect("the call must have an answer")
}

/// The error of a call that must have failed.
pub(crate) fn error<V>(poll: Poll<Result<CallOutput<V>, Error>>) -> Error {
    match ready(poll) {
        Ok(_) => panic!("the call must have failed"),
        Err(error) => error,
    }
}

/// The message of a panic that must happen in `f`.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("there must be a panic");
    };
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("a panic with a text")
}

/// The test's end of some work: it says how the work ends, and sees what became of it.
pub(crate) struct Job {
    ending: Option<oneshot::Sender<Ending>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    polls: AtomicUsize,
    drops: AtomicUsize,
}

enum Ending {
    Land(u32),
    Panic(&'static str),
}

/// Counts the drop of the work, or of the future that it became.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl Job {
    /// Some work that waits, and the test's end of it.
    pub(crate) fn new() -> (
        Self,
        impl FnOnce(FlightId) -> Pin<Box<dyn Future<Output = u32> + Send>> + Send + 'static,
    ) {
        let (ending, ended) = oneshot::channel();
        let seen = Arc::new(Seen::default());
        let dropped = Dropped(Arc::clone(&seen));
        let work = move |_flight| {
            dropped.0.calls.fetch_add(1, Ordering::Relaxed);
            let future = async move {
                let mut ended = std::pin::pin!(ended);
                let ending = poll_fn(|cx| {
                    dropped.0.polls.fetch_add(1, Ordering::Relaxed);
                    ended.as_mut().poll(cx)
                });
                match ending.await.expect("the test says how the work ends") {
                    Ending::Land(value) => value,
                    Ending::Panic(message) => panic!("{message}"),
                }
            };
            Box::pin(future) as Pin<Box<dyn Future<Output = u32> + Send>>
        };
        let ending = Some(ending);
        (Self { ending, seen }, work)
    }

    pub(crate) fn land(&mut self, value: u32) {
        self.end(Ending::Land(value));
    }

    pub(crate) fn panic(&mut self, message: &'static str) {
        self.end(Ending::Panic(message));
    }

    fn end(&mut self, ending: Ending) {
        // The work may have been dropped; then there is nothing to end.
        let _ = self.ending.take().expect("work ends once").send(ending);
    }

    /// How often the work was called, polled and dropped.
    pub(crate) fn seen(&self) -> [usize; 3] {
        let Seen {
            calls,
            polls,
            drops,
        } = &*self.seen;
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

/// Time that passes when a test says so.
#[derive(Clone)]
pub(crate) struct Time {
    start: Instant,
    passed: Arc<AtomicU64>,
}

impl Time {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed: Arc::default(),
        }
    }

    /// The clock of a group.
    pub(crate) fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let Self { start, passed } = self.clone();
        move || start + Duration::from_millis(passed.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, milliseconds: u64) {
        self.passed.fetch_add(milliseconds, Ordering::Relaxed);
    }
}
