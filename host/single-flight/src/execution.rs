//! The task of a flight: it calls the work, polls it, stops it when nobody wants the result, and drops
//! it. No caller's future does any of this, so no caller can stall or end it for the others. Whatever
//! happens to the task, its [`Ending`] ends the flight.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::FlightId;
use crate::flight::{Flight, Outcome};
use crate::hold::Hold;
use crate::waits;

pin_project! {
    /// The task of a flight.
    ///
    /// Invariant: the work is dropped before the flight ends, so a flight counts as alive until its work
    /// is gone. Fields drop in the order they are declared in, so it holds also for a task that is
    /// dropped.
    pub(crate) struct Execution<K: Eq, V, F, Fut> {
        #[pin]
        work: Work<F, Fut>,
        ending: Ending<K, V>,
        // Whether the flight has the waker of this task, which stays the same.
        kept: bool,
    }
}

pin_project! {
    #[project = WorkProjection]
    enum Work<F, Fut> {
        Uncalled { work: Option<F> },
        Called { #[pin] future: Fut },
        Gone,
    }
}

impl<K: Eq, V, F, Fut> Execution<K, V, F, Fut> {
    pub(crate) fn new(hold: Arc<Hold<K, V>>, flight: Arc<Flight<K, V>>, work: F) -> Self {
        Self {
            work: Work::Uncalled { work: Some(work) },
            ending: Ending {
                hold,
                flight,
                ended: false,
            },
            kept: false,
        }
    }
}

impl<K: Eq, V, F, Fut> Future for Execution<K, V, F, Fut>
where
    F: FnOnce(FlightId) -> Fut,
    Fut: Future<Output = V>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let flight = &this.ending.flight;
        let mut outcome = Outcome::Cancelled;
        if !flight.is_settled() {
            match this.work.as_mut().run(flight.id, cx) {
                Poll::Ready(ended) => outcome = ended,
                Poll::Pending if *this.kept => return Poll::Pending,
                // Asked after the poll, and with the waker kept: whoever settles the flight from here
                // on wakes this task.
                Poll::Pending if !flight.keep_task(cx.waker()) => {
                    *this.kept = true;
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
        if let Err(message) = caught(|| this.work.set(Work::Gone)) {
            outcome = Outcome::Panicked(message);
        }
        this.ending.end(outcome);
        Poll::Ready(())
    }
}

impl<F, Fut> Work<F, Fut> {
    /// Calls the work if that has not been done, and polls what it returned.
    fn run<V>(mut self: Pin<&mut Self>, flight: FlightId, cx: &mut Context<'_>) -> Poll<Outcome<V>>
    where
        F: FnOnce(FlightId) -> Fut,
        Fut: Future<Output = V>,
    {
        // Nothing that a panic leaves half done is seen again: the work is only dropped.
        let polled = caught(|| {
            waits::within(flight, || {
                if let WorkProjection::Uncalled { work } = self.as_mut().project() {
                    let work = work.take().expect("work is called once");
                    let future = work(flight);
                    self.as_mut().set(Work::Called { future });
                }
                match self.as_mut().project() {
                    WorkProjection::Called { future } => future.poll(cx),
                    _ => unreachable!("work that is gone is not run"),
                }
            })
        });
        match polled {
            Ok(polled) => Poll::Ready(Outcome::Landed(ready!(polled))),
            Err(message) => Poll::Ready(Outcome::Panicked(message)),
        }
    }
}

/// The task's hold on its flight. Dropping it ends the flight as cancelled: a runtime that goes away, or
/// never runs the task, does that.
struct Ending<K: Eq, V> {
    hold: Arc<Hold<K, V>>,
    flight: Arc<Flight<K, V>>,
    ended: bool,
}

impl<K: Eq, V> Ending<K, V> {
    fn end(&mut self, outcome: Outcome<V>) {
        self.ended = true;
        self.hold.close(&self.flight, outcome);
    }
}

impl<K: Eq, V> Drop for Ending<K, V> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Cancelled);
        }
    }
}

/// Runs code of the user, and returns what it said if it panicked.
fn caught<R>(run: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let message = message(payload.as_ref());
        // A payload is anything, and may panic again when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        message
    })
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> Arc<str> {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").into()
}
