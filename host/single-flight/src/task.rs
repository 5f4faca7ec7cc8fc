//! The task of a flight: it calls the work, polls it, stops it when the flight is cancelled, and drops
//! it. No caller's future does any of this, so no caller can stall or end the work for the others. Even
//! if the task panics or is dropped, its [`CloseGuard`] closes the flight.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::flight::{Flight, TerminalState};
use crate::id::FlightId;
use crate::striped_arc::StripedRef;
use crate::table::Table;
use crate::wait_graph;

pin_project! {
    /// The task of a flight.
    ///
    /// Invariant: the work is dropped before the flight is closed, so a flight counts as alive until its
    /// work is gone. Fields drop in the order of their declaration, so this holds also for a task that is
    /// dropped.
    pub(crate) struct FlightTask<K: Eq, V, F, Fut> {
        #[pin]
        work: WorkState<F, Fut>,
        guard: CloseGuard<K, V>,
        // Whether the flight has the waker of this task, which stays the same.
        waker_stored: bool,
    }
}

pin_project! {
    #[project = WorkProjection]
    enum WorkState<F, Fut> {
        Uncalled { work: Option<F> },
        Called { #[pin] future: Fut },
        Dropped,
    }
}

impl<K: Eq, V, F, Fut> FlightTask<K, V, F, Fut> {
    pub(crate) fn new(
        table: Arc<StripedRef<Table<K, V>>>,
        flight: Arc<Flight<K, V>>,
        work: F,
    ) -> Self {
        Self {
            work: WorkState::Uncalled { work: Some(work) },
            guard: CloseGuard {
                table,
                flight,
                closed: false,
            },
            waker_stored: false,
        }
    }
}

impl<K: Eq, V, F, Fut> Future for FlightTask<K, V, F, Fut>
where
    F: FnOnce(FlightId) -> Fut,
    Fut: Future<Output = V>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let flight = &this.guard.flight;
        let mut state = TerminalState::Cancelled;
        if !flight.is_settled() {
            match this.work.as_mut().poll(flight.id, cx) {
                Poll::Ready(ended) => state = ended,
                Poll::Pending if *this.waker_stored => return Poll::Pending,
                // Checked after the poll, in the step that stores the waker: a thread that settles the
                // flight from here on wakes this task.
                Poll::Pending if !flight.store_task_waker(cx.waker()) => {
                    *this.waker_stored = true;
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
        if let Err(message) = catch_panic(|| this.work.set(WorkState::Dropped)) {
            state = TerminalState::Panicked(message);
        }
        this.guard.close(state);
        Poll::Ready(())
    }
}

impl<F, Fut> WorkState<F, Fut> {
    /// Calls the work if that has not been done, and polls the future that it returned.
    fn poll<V>(
        mut self: Pin<&mut Self>,
        flight: FlightId,
        cx: &mut Context<'_>,
    ) -> Poll<TerminalState<V>>
    where
        F: FnOnce(FlightId) -> Fut,
        Fut: Future<Output = V>,
    {
        // Unwind safe: after a panic the work is only dropped.
        let polled = catch_panic(|| {
            wait_graph::within(flight, || {
                if let WorkProjection::Uncalled { work } = self.as_mut().project() {
                    let work = work.take().expect("the work is called once");
                    let future = work(flight);
                    self.as_mut().set(WorkState::Called { future });
                }
                match self.as_mut().project() {
                    WorkProjection::Called { future } => future.poll(cx),
                    _ => unreachable!("work that is dropped is not polled"),
                }
            })
        });
        match polled {
            Ok(polled) => Poll::Ready(TerminalState::Landed(ready!(polled))),
            Err(message) => Poll::Ready(TerminalState::Panicked(message)),
        }
    }
}

/// Closes the flight of a task. Dropping it closes the flight as cancelled: this happens when a runtime
/// shuts down before the task has completed.
struct CloseGuard<K: Eq, V> {
    table: Arc<StripedRef<Table<K, V>>>,
    flight: Arc<Flight<K, V>>,
    closed: bool,
}

impl<K: Eq, V> CloseGuard<K, V> {
    fn close(&mut self, state: TerminalState<V>) {
        self.closed = true;
        self.table.close(&self.flight, state);
    }
}

impl<K: Eq, V> Drop for CloseGuard<K, V> {
    fn drop(&mut self) {
        if !self.closed {
            self.close(TerminalState::Cancelled);
        }
    }
}

/// Runs user code, and returns the message of its panic if it panics.
fn catch_panic<R>(run: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let message = panic_message(payload.as_ref());
        // A payload can be any value, and may panic again when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        message
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> Arc<str> {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic payload is not a string").into()
}
