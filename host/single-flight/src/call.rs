//! A caller's side of a flight: the future that joins on its first poll, waits, and leaves when it is
//! dropped. It never runs the work, which belongs to the flight's own task.

use std::fmt;
use std::hash::Hash;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::execution::Execution;
use crate::hold::Holds;
use crate::seat::Seat;
use crate::sync::spawn;
use crate::{CallOutput, Error, FlightId, Role};

/// One caller of a key: the future that [`Group::call`](crate::Group::call) and
/// [`Group::call_fresh`](crate::Group::call_fresh) return.
///
/// # Panics
///
/// Polling it panics after it has completed, and when the first poll has to open a flight outside a tokio
/// runtime. A panic in the value's `clone` is this caller's own: the others get theirs.
///
/// # Cancel safety
///
/// Dropping it is how a caller leaves, at any time. Before the first poll nothing has happened, and
/// nothing does. After it, the flight goes on for its other callers, whichever of them opened it. When
/// the last one leaves, the flight is cancelled: its key is free at once, and its work is not polled again
/// but dropped when its task is next scheduled. With [`Abandoned::Finish`](crate::Abandoned::Finish) it goes
/// on instead, and can be joined until it lands.
#[must_use = "a call does nothing until it is polled"]
pub struct CallFuture<'a, K: Eq, V, F> {
    table: &'a Holds<K, V>,
    state: State<K, V, F>,
}

enum State<K, V, F> {
    /// Not polled yet.
    Asked { key: K, work: F },
    /// Not polled yet, and to join no flight. Not a field, which would make the futures of small keys greater.
    AskedAnew { key: K, work: F },
    /// On a flight. Left when this is dropped, unless the flight is settled.
    Aboard(Seat<K, V>),
    /// Has its outcome, was refused, or panicked on the way.
    Done,
}

impl<'a, K: Eq, V, F> CallFuture<'a, K, V, F> {
    pub(crate) fn new(table: &'a Holds<K, V>, key: K, work: F) -> Self {
        let state = State::Asked { key, work };
        Self { table, state }
    }

    pub(crate) fn anew(table: &'a Holds<K, V>, key: K, work: F) -> Self {
        let state = State::AskedAnew { key, work };
        Self { table, state }
    }
}

impl<K, V, F, Fut> CallFuture<'_, K, V, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnOnce(FlightId) -> Fut + Send + 'static,
    Fut: Future<Output = V> + Send + 'static,
{
    /// Starts the task of a flight that this caller has opened.
    fn start(&self, seat: &Seat<K, V>, work: F) {
        if seat.role == Role::Leader {
            let hold = Arc::clone(self.table.here());
            // Where there is no runtime this panics, and where it is shutting down it drops the task:
            // either way the execution is dropped, and ends the flight.
            spawn(Execution::new(hold, Arc::clone(&seat.flight), work));
        }
    }
}

impl<K, V, F, Fut> Future for CallFuture<'_, K, V, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnOnce(FlightId) -> Fut + Send + 'static,
    Fut: Future<Output = V> + Send + 'static,
{
    type Output = Result<CallOutput<V>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::Aboard(seat) = &this.state {
            ready!(seat.flight.poll_settled(seat.place, cx.waker()));
        }
        let (boarded, work) = match mem::replace(&mut this.state, State::Done) {
            State::Asked { key, work } => (this.table.board(key, cx.waker()), work),
            State::AskedAnew { key, work } => (this.table.join_none(key, cx.waker()), work),
            State::Aboard(seat) => return Poll::Ready(seat.outcome()),
            State::Done => panic!("a call was polled after it had completed"),
        };
        // Its waker is on the flight from here on, so nothing that happens to the flight is missed.
        let seat = boarded?;
        this.start(&seat, work);
        this.state = State::Aboard(seat);
        Poll::Pending
    }
}

// A call holds the key and the work unpolled, and never pins them.
impl<K: Eq, V, F> Unpin for CallFuture<'_, K, V, F> {}

impl<K: Eq, V, F> Drop for CallFuture<'_, K, V, F> {
    fn drop(&mut self) {
        if let State::Aboard(seat) = &self.state {
            self.table.leave(seat);
        }
    }
}

impl<K: Eq, V, F> fmt::Debug for CallFuture<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_struct("CallFuture");
        match &self.state {
            State::Asked { .. } | State::AskedAnew { .. } => call.field("state", &"asked"),
            State::Aboard(seat) => call
                .field("flight", &seat.flight.id)
                .field("role", &seat.role),
            State::Done => call.field("state", &"done"),
        };
        call.finish()
    }
}
