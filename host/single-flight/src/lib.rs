//! Single flight: concurrent calls for the same key share one execution and its outcome.
//!
//! A [`Group`] is a table of flights. The first call for a key opens a flight, and its caller is the leader.
//! Calls for the same key join that flight until it ends, and their callers are followers. All of them get
//! the one outcome. A flight that has landed is removed, and the next call opens a new one.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! use single_flight::{Group, Policy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let group: Group<String, Arc<str>> = Group::new(Policy::default());
//! let executions = Arc::new(AtomicUsize::new(0));
//! let fetch = |x: &str| {
//!     let executions = Arc::clone(&executions);
//!     group.call(x.to_owned(), move |_flight| async move {
//!         executions.fetch_add(1, Ordering::Relaxed);
//!         Arc::from("the items")
//!     })
//! };
//!
//! // Two fetchers request the same thing at the same time.
//! let (one, other) = tokio::join!(fetch("x"), fetch("x"));
//! let (one, other) = (one.unwrap(), other.unwrap());
//! assert_eq!(executions.load(Ordering::Relaxed), 1);
//! assert!(one.shared() && Arc::ptr_eq(&one.value, &other.value));
//!
//! // A flight that has landed is not joined.
//! assert!(!fetch("x").await.unwrap().shared());
//! assert_eq!(executions.load(Ordering::Relaxed), 2);
//! # }
//! ```
//!
//! # Why it is a crate
//!
//! The compiler keeps it independent of what the work does, and the table is tested alone, in every order
//! of join, leave, land, panic and cancel. `CONTRACT.md` lists what it guarantees, by number.
//!
//! # What it does not do
//!
//! It does not retry: an error is a value to it, shared with the callers of the flight and then dropped.
//! It does not cache: a call never gets the outcome of a flight that had landed before its first poll.
//! It sets no deadline: a caller's deadline is the caller's (drop the [`CallFuture`]), the flight's deadline
//! belongs in the work. It does not poll the work in a caller's future: a flight has its own task, so a
//! leader that is not polled, or is dropped, changes nothing for its followers. That task runs on the
//! leader's runtime, and ends with it.
//!
//! # The states of a flight
//!
//! ```text
//! open ────────────────────> landed | panicked | cancelled
//!   └──> closed to joiners ──> landed | panicked | cancelled
//! ```
//!
//! The first poll of a call opens the flight. Other calls for its key join it until it ends, is superseded by
//! a [fresh call](Group::call_fresh), is [forgotten](Group::forget) or outlives the
//! [join window](Policy::join_window). It lands with the value that the work returns, or panics with the
//! work. It is cancelled when its last caller leaves (unless the policy is [`Abandoned::Finish`]), when a
//! [drain](Group::drain) reaches its deadline, or when its runtime shuts down.
//!
//! # Invariants
//!
//! Each is stated beside the state that it constrains.
//!
//! - Identity: a key has at most one open flight. It is found and joined in one step, and removed by identity,
//!   not by key (`table.rs`).
//! - Outcome: a flight is settled once, and its number of callers is final from then on (`flight.rs`).
//! - Cancellation: a flight counts as alive until its work is dropped, and ends even if its task never runs
//!   (`task.rs`).
//! - Bounds: no flight and no caller is admitted past its limit, and no flight after a drain has started
//!   (`gate.rs`, `flight.rs`, `detached.rs`).
//! - Deadlock: flights never wait for each other in a cycle; the call that would close one is refused
//!   (`wait_graph.rs`).
//! - No lock is held across user code, a wake, the drop of a user value, or an await (`table.rs`). The
//!   exception is the key's `Eq`.
//!
//! A flight writes to no memory that all threads write to: permits and the reference count of the table are
//! striped (`gate.rs`, `striped_arc.rs`).
//!
//! # Modules
//!
//! Each imports only from the lines below its own:
//!
//! ```text
//! lib (Group)
//! call
//! task
//! table
//! membership  detached  observer
//! wait_graph  entry
//! flight  gate
//! outcome  snapshot  policy  striped_arc  wakers
//! id  stripe
//! sync
//! hash
//! ```

mod call;
mod detached;
mod entry;
mod flight;
mod gate;
mod hash;
mod id;
mod membership;
mod observer;
mod outcome;
mod policy;
mod snapshot;
mod stripe;
mod striped_arc;
mod sync;
mod table;
mod task;
mod wait_graph;
mod wakers;

use std::fmt;
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

pub use crate::call::CallFuture;
pub use crate::id::FlightId;
pub use crate::outcome::{CallOutput, EndedFlight, Error, FlightEnd, Role};
pub use crate::policy::{Abandoned, Policy, SharingMode};
pub use crate::snapshot::FlightSnapshot;

use crate::striped_arc::StripedArc;
use crate::table::Table;

/// A table of flights, each of which is one execution for one key.
///
/// Clones share the table. Calls share flights only within one table: two groups share nothing.
///
/// The key's `Hash` and `Eq` must be plain computations. They must not panic, block or use the group: `Eq`
/// runs under a lock of the table.
pub struct Group<K, V> {
    table: Arc<StripedArc<Table<K, V>>>,
}

impl<K, V> Group<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Creates an empty table.
    pub fn new(policy: Policy) -> Self {
        Self::with_clock(policy, Instant::now)
    }

    /// Creates an empty table that measures the age of flights with `clock`, for [`Policy::join_window`].
    ///
    /// The clock is read once per call, before the call looks up its flight and with no lock held. If it
    /// goes backwards, a flight counts as just opened.
    pub fn with_clock(policy: Policy, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self::from_table(Table::new(policy, Box::new(clock), None))
    }

    /// Creates an empty table that reports each flight that has ended to `observer`.
    ///
    /// The observer is called once per flight, in the flight's own task, after the outcome of its callers is
    /// settled and with no lock held. If the runtime drops the task, the observer is called on the thread
    /// that drops it. A slow observer delays a [drain](Group::drain) and nothing else. If it panics, the
    /// panic hook reports that, and it has no other effect. `clock` is read once per call and once per
    /// ended flight.
    pub fn with_observer(
        policy: Policy,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        observer: impl Fn(&K, &EndedFlight<'_, V>) + Send + Sync + 'static,
    ) -> Self {
        Self::from_table(Table::new(
            policy,
            Box::new(clock),
            Some(Box::new(observer)),
        ))
    }

    fn from_table(table: Table<K, V>) -> Self {
        Self {
            table: Arc::new(StripedArc::new(table)),
        }
    }

    /// Gets a value for `key`: joins the open flight of the key, or opens a flight that runs `work`.
    ///
    /// Nothing happens before the first poll. The first poll joins or opens a flight. If it opens one, it
    /// spawns a task on the current tokio runtime, and that task calls `work` and polls the future that it
    /// returns. A follower's `work` is dropped unused.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Cancelled`] are outcomes of the flight and reach all its callers. The
    /// other errors refuse this call at its first poll and change nothing for other calls:
    /// [`Error::TooManyFlights`], [`Error::TooManyCallers`], [`Error::TooManyExecutions`],
    /// [`Error::Draining`], and [`Error::WouldDeadlock`] for a call that work makes in its flight's own task.
    ///
    /// # Panics
    ///
    /// The first poll panics if it has to open a flight and there is no current tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is how its caller leaves; see [`CallFuture`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Error, Group, Policy, Role};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<u32, String> = Group::new(Policy::default());
    /// let output = group.call(7, |_flight| async { "seven".to_owned() }).await;
    /// let output = output.expect("no limit is reached, and the work does not panic");
    /// assert_eq!((output.value.as_str(), output.role), ("seven", Role::Leader));
    ///
    /// // A panic reaches the callers as an error, and the next call starts fresh.
    /// let failed = group.call(7, |_flight| async { panic!("no eight") }).await;
    /// assert!(matches!(failed, Err(Error::Panicked { message, .. }) if &*message == "no eight"));
    /// # }
    /// ```
    pub fn call<F, Fut>(&self, key: K, work: F) -> CallFuture<'_, K, V, F>
    where
        F: FnOnce(FlightId) -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        CallFuture::new(&self.table, key, work)
    }

    /// Gets a value for `key` from a new flight: opens one that runs `work`, in place of the open one.
    /// This is for callers that do not accept the outcome of an earlier flight, such as by HTTP's
    /// `Cache-Control: no-cache` (RFC 9111, section 5.2.1.4).
    ///
    /// The first poll closes the key's open flight to joiners, as [`forget`](Group::forget) does, and opens
    /// the new one in the same step: later calls join that one. This caller is always a leader. Otherwise
    /// this works like [`call`](Group::call).
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Cancelled`] as for [`call`](Group::call). The other errors refuse
    /// this call at its first poll, and leave the open flight open: [`Error::TooManyFlights`],
    /// [`Error::TooManyExecutions`] (the superseded flight counts until it has ended),
    /// [`Error::TooManyCallers`] if [`Policy::max_callers_per_flight`] is 0, and [`Error::Draining`].
    ///
    /// # Panics
    ///
    /// The first poll panics if there is no current tokio runtime. It has superseded the open flight then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is how its caller leaves; see [`CallFuture`]. A flight that it has superseded
    /// stays superseded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Group, Policy, Role};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let slow = |value| {
    ///     move |_flight| async move {
    ///         tokio::task::yield_now().await;
    ///         value
    ///     }
    /// };
    /// // The fresh call supersedes the first flight, and the last call joins the fresh one.
    /// let before = group.call("x", slow(1));
    /// let fresh = group.call_fresh("x", slow(2));
    /// let after = group.call("x", slow(3));
    /// let (before, fresh, after) = tokio::join!(before, fresh, after);
    /// let [before, fresh, after] = [before, fresh, after].map(Result::unwrap);
    /// assert_eq!((before.value, fresh.value, after.value), (1, 2, 2));
    /// assert_eq!((fresh.role, after.role), (Role::Leader, Role::Follower));
    /// # }
    /// ```
    pub fn call_fresh<F, Fut>(&self, key: K, work: F) -> CallFuture<'_, K, V, F>
    where
        F: FnOnce(FlightId) -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        CallFuture::fresh(&self.table, key, work)
    }

    /// Closes the key's open flight to joiners. Returns true if there was one.
    ///
    /// A call that is first polled after this has returned never gets the result of a flight opened before
    /// it. Callers that are on the flight stay on it and get its outcome. The flight counts against
    /// [`Policy::max_flights`] and [`Policy::max_executions_per_key`] until it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Group, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let before = group.call("x", |_flight| async {
    ///     tokio::task::yield_now().await;
    ///     1
    /// });
    /// let after = async {
    ///     assert!(group.forget(&"x"));
    ///     group.call("x", |_flight| async { 2 }).await
    /// };
    /// let (before, after) = tokio::join!(before, after);
    /// assert_eq!((before.unwrap().value, after.unwrap().value), (1, 2));
    /// # }
    /// ```
    pub fn forget(&self, key: &K) -> bool {
        self.table.forget(key)
    }

    /// Stops opening flights and waits until all flights have ended or `deadline` completes. Then cancels the
    /// remaining flights, and returns how many it cancelled.
    ///
    /// The drain starts with its first poll. From then on a call that would open a flight gets
    /// [`Error::Draining`], permanently, while calls that find an open flight still join it. If the drain
    /// ends before its deadline, every flight is terminal, its work is dropped and the observer has been
    /// called. Otherwise the callers of the cancelled flights get [`Error::Cancelled`] immediately, their
    /// work is dropped when their tasks are next scheduled, and a flight whose work has just returned may
    /// still land. A deadline that has already passed cancels immediately.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped after its first poll, nothing is cancelled and the group opens no more flights. It
    /// can be called again, also while another drain waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Error, Group, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let endless = group.call("x", |_flight| std::future::pending());
    /// let deadline_now = async {};
    /// let (outcome, cancelled) = tokio::join!(endless, group.drain(deadline_now));
    /// assert!(matches!(outcome, Err(Error::Cancelled { .. })));
    /// assert_eq!(cancelled, 1);
    /// let late = group.call("x", |_flight| async { 1 }).await;
    /// assert_eq!(late.err(), Some(Error::Draining));
    /// assert!(group.is_draining());
    /// # }
    /// ```
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        let gate = &self.table.gate;
        gate.close();
        let mut drained = pin!(gate.drained());
        let mut deadline = pin!(deadline);
        poll_fn(|cx| {
            if drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(0);
            }
            let deadline = deadline.as_mut().poll(cx);
            deadline.map(|()| self.table.cancel_all())
        })
        .await
    }

    /// The number of flights alive, including those that were forgotten or are being cancelled: all that
    /// count against [`Policy::max_flights`]. Exact while no flight opens or ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Group, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let counts = || (group.flights(), group.callers(), group.entries());
    /// let mut call = Box::pin(group.call("x", |_flight| std::future::pending()));
    /// assert_eq!(counts(), (0, 0, 0));
    /// assert!(futures_util::poll!(&mut call).is_pending());
    /// assert_eq!(counts(), (1, 1, 1));
    ///
    /// // The key is free immediately. The flight is gone when its task has dropped the work.
    /// drop(call);
    /// assert_eq!(counts(), (1, 0, 0));
    /// tokio::task::yield_now().await;
    /// assert_eq!(counts(), (0, 0, 0));
    /// # }
    /// ```
    pub fn flights(&self) -> usize {
        self.table.gate.alive()
    }

    /// The number of callers on flights that have not ended. Reads every flight: not for a hot path.
    pub fn callers(&self) -> usize {
        self.table.callers()
    }

    /// Whether a [drain](Group::drain) has started. The group opens no more flights then.
    pub fn is_draining(&self) -> bool {
        self.table.gate.is_closed()
    }

    /// The number of keys with a flight that is open to joiners. A flight that has outlived its join window
    /// counts until a call for its key closes it. Reads every shard: not for a hot path.
    pub fn entries(&self) -> usize {
        self.table.entries()
    }

    /// Calls `visit` with a snapshot of every flight, including superseded and stopping ones, in the order of
    /// their ids, which is not the order of their opening.
    ///
    /// The set of flights is read once. Each snapshot is taken when its turn comes: a flight that has ended
    /// meanwhile is shown without callers. No lock is held while `visit` runs, so it may use the group. This
    /// is for dashboards and logs: it allocates for each flight and takes about the time of a call for each,
    /// so it is not for a hot path.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Group, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let mut call = Box::pin(group.call("x", |_flight| std::future::pending()));
    /// assert!(futures_util::poll!(&mut call).is_pending());
    /// let mut lines = Vec::new();
    /// group.visit(|key, flight| {
    ///     let open = if flight.joinable { "open" } else { "closed" };
    ///     lines.push(format!("{key}: {} callers, {open}", flight.callers));
    /// });
    /// assert_eq!(lines, ["x: 1 callers, open"]);
    /// # }
    /// ```
    pub fn visit(&self, visit: impl FnMut(&K, &FlightSnapshot)) {
        self.table.visit(visit);
    }
}

impl<K, V> Clone for Group<K, V> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
        }
    }
}

impl<K, V> fmt::Debug for Group<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("policy", &self.table.policy)
            .field("flights", &self.table.gate.alive())
            .finish_non_exhaustive()
    }
}
