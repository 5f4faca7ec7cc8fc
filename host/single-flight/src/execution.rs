//! The task of a flight: it calls the work, polls it, stops it when nobody wants the result, and drops
//! it. No caller's future does any of this, so no caller can stall or end it for the others. Whatever
//! happens to the task, its [`Execution`] ends the flight.

use std::any::Any;
use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::FlightId;
use crate::flight::{Flight, Outcome};
use crate::table::Table;

/// The task's hold on its flight. Dropping it ends the flight, with the outcome it has by then: a runtime
/// that goes away, or never runs the task, ends the flight as cancelled.
///
/// Invariant: it is dropped after the work, so a flight counts as alive until its work is gone.
pub(crate) struct Execution<K, V> {
    table: Arc<Table<K, V>>,
    flight: Arc<Flight<K, V>>,
    outcome: Outcome<V>,
}

impl<K, V> Execution<K, V> {
    pub(crate) fn new(table: Arc<Table<K, V>>, flight: Arc<Flight<K, V>>) -> Self {
        Self {
            table,
            flight,
            outcome: Outcome::Cancelled,
        }
    }
}

impl<K, V> Drop for Execution<K, V> {
    fn drop(&mut self) {
        let outcome = mem::replace(&mut self.outcome, Outcome::Cancelled);
        self.table.close(&self.flight, outcome);
    }
}

/// Work that has not been called, and its flight.
///
/// One value, and in this order: fields drop in the order they are declared in, so the work goes first
/// also when the task is dropped before its first poll.
pub(crate) struct Unstarted<K, V, F> {
    pub(crate) work: F,
    pub(crate) execution: Execution<K, V>,
}

/// The task of a flight.
pub(crate) async fn execute<K, V, F, Fut>(unstarted: Unstarted<K, V, F>)
where
    F: FnOnce(FlightId) -> Fut,
    Fut: Future<Output = V>,
{
    // Locals drop in reverse: the work before the execution.
    let Unstarted {
        work,
        mut execution,
    } = unstarted;
    let flight = Arc::clone(&execution.flight);
    let id = flight.id;
    // One future that calls the work and then polls and drops what it returns, so that one catch is
    // enough for a panic in any of them.
    let mut work = pin!(async move { work(id).await });

    execution.outcome = poll_fn(|cx| {
        if flight.poll_stopped(cx.waker()).is_ready() {
            return Poll::Ready(Outcome::Cancelled);
        }
        // Nothing that a panic leaves half done is seen again: the work is only dropped.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Outcome::Landed),
            Err(payload) => Poll::Ready(Outcome::Panicked(message(payload.as_ref()))),
        }
    })
    .await;
    // Work that was stopped is dropped here. If that panics, the execution still ends the flight, and
    // the runtime takes the panic.
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> Arc<str> {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").into()
}
