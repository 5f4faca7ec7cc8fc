//! The future of one caller: it joins or opens a flight on its first poll, waits for the outcome, and
//! leaves when it is dropped. It never runs the work, which belongs to the flight's own task.

use std::fmt;
use std::hash::Hash;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::id::FlightId;
use crate::membership::Membership;
use crate::outcome::{CallOutput, Error, Role};
use crate::striped_arc::StripedArc;
use crate::sync::spawn;
use crate::table::Table;
use crate::task::FlightTask;

/// One caller of a key: the future that [`Group::call`](crate::Group::call) and
/// [`Group::call_fresh`](crate::Group::call_fresh) return.
///
/// # Panics
///
/// Polling it panics after it has completed, and when the first poll has to open a flight outside a tokio
/// runtime. A panic in the value's `clone` reaches this caller only.
///
/// # Cancel safety
///
/// Dropping it is how a caller leaves, at any time. Before the first poll it has done nothing. After it,
/// the flight continues for its other callers, whichever of them opened it. When the last one leaves, the
/// flight is cancelled: its key is free immediately, and its work is not polled again but dropped when
/// its task is next scheduled. With [`Abandoned::Finish`](crate::Abandoned::Finish) the flight continues
/// instead, and can be joined until it lands.
#[must_use = "a call does nothing until it is polled"]
pub struct CallFuture<'a, K: Eq, V, F> {
    table: &'a StripedArc<Table<K, V>>,
    state: CallState<K, V, F>,
}

enum CallState<K, V, F> {
    /// Not polled yet.
    Unpolled { key: K, work: F },
    /// Not polled yet, and joins no flight. A variant, because a field would make the futures of small keys
    /// larger.
    UnpolledFresh { key: K, work: F },
    /// On a flight. Leaves it when dropped, unless the flight is settled.
    Waiting(Membership<K, V>),
    /// Completed, refused, or panicked on the way.
    Done,
}

impl<'a, K: Eq, V, F> CallFuture<'a, K, V, F> {
    pub(crate) fn new(table: &'a StripedArc<Table<K, V>>, key: K, work: F) -> Self {
        let state = CallState::Unpolled { key, work };
        Self { table, state }
    }

    pub(crate) fn fresh(table: &'a StripedArc<Table<K, V>>, key: K, work: F) -> Self {
        let state = CallState::UnpolledFresh { key, work };
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
    /// Spawns the flight's task if this caller has opened the flight.
    fn spawn_if_leader(&self, membership: &Membership<K, V>, work: F) {
        if membership.role == Role::Leader {
            let table = Arc::clone(self.table.local());
            // Without a runtime this panics, and a runtime that is shutting down drops the task. Either way
            // the task is dropped, which closes the flight.
            spawn(FlightTask::new(table, Arc::clone(&membership.flight), work));
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
        if let CallState::Waiting(membership) = &this.state {
            ready!(membership.flight.poll_settled(membership.slot, cx.waker()));
        }
        let (joined, work) = match mem::replace(&mut this.state, CallState::Done) {
            CallState::Unpolled { key, work } => (this.table.join_or_open(key, cx.waker()), work),
            CallState::UnpolledFresh { key, work } => {
                (this.table.open_fresh(key, cx.waker()), work)
            }
            CallState::Waiting(membership) => return Poll::Ready(membership.into_outcome()),
            CallState::Done => panic!("a call was polled after it had completed"),
        };
        // The flight has the waker from here on, so this caller misses nothing that happens to it.
        let membership = joined?;
        this.spawn_if_leader(&membership, work);
        this.state = CallState::Waiting(membership);
        Poll::Pending
    }
}

// A call never pins the key or the work.
impl<K: Eq, V, F> Unpin for CallFuture<'_, K, V, F> {}

impl<K: Eq, V, F> Drop for CallFuture<'_, K, V, F> {
    fn drop(&mut self) {
        if let CallState::Waiting(membership) = &self.state {
            self.table.leave(membership);
        }
    }
}

impl<K: Eq, V, F> fmt::Debug for CallFuture<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_struct("CallFuture");
        match &self.state {
            CallState::Unpolled { .. } | CallState::UnpolledFresh { .. } => {
                call.field("state", &"unpolled")
            }
            CallState::Waiting(membership) => call
                .field("flight", &membership.flight.id)
                .field("role", &membership.role),
            CallState::Done => call.field("state", &"done"),
        };
        call.finish()
    }
}
