//! Callers that ask for the same key at the same time share one execution.
//!
//! A [`Group`] is a table of flights. The first caller of a key opens a flight and is its leader; callers
//! that come while it is under way join it as followers; all of them get the one outcome. Once it has
//! landed it is gone, and the next caller opens a new one.
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
//! // Two fetchers ask for the same thing at the same time.
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
//! So that the compiler keeps it ignorant of what the work does, and the table can be tested, alone, for
//! every order of join, leave, land, panic and cancel.
//!
//! # What it refuses to do
//!
//! It retries nothing: an error is a value to it, shared with the callers of the flight and then forgotten.
//! It caches nothing: a call never gets the outcome of a flight that had landed before it was first polled.
//! It sets no deadline: a caller's is the caller's (drop the [`CallFuture`]), the flight's belongs in the work.
//! It polls no work in a caller's future: a flight has a task of its own, so a leader that is held unpolled
//! or dropped changes nothing for its followers. That task is on the runtime of the leader, and ends with it.
//!
//! # What a flight goes through
//!
//! ```text
//! open ────────────────────> landed | panicked | cancelled
//!   └──> closed to joiners ──> landed | panicked | cancelled
//! ```
//!
//! The first poll of a call opens it, and until it ends, is superseded by a [call anew](Group::call_fresh),
//! [forgotten](Group::forget) or outlives the [join window](Policy::join_window) every other call of its
//! key joins it. It lands with what the work returns,
//! or panics with the work. It is cancelled when its last caller leaves (unless it is
//! [to finish](Abandoned::Finish)), when a [drain](Group::drain) reaches its deadline, or when its runtime
//! goes away.
//!
//! # Invariants
//!
//! Each is stated where the state that it binds is declared.
//!
//! - Identity: one open flight a key, found and joined in one step, removed as that very flight and not by
//!   its key (`table.rs`).
//! - Outcome: a flight is settled once, and its number of callers is final with that (`flight.rs`).
//! - Cancellation: a flight counts as alive until its work is dropped, and ends even if its task is never
//!   run (`execution.rs`).
//! - Bounds: no flight and no caller is let in past its limit, nor a flight once a drain has started
//!   (`gate.rs`, `flight.rs`, `apart.rs`).
//! - Deadlock: there is no circle of flights that wait for each other, as the wait that would close it is
//!   refused (`waits.rs`).
//! - No lock is held across user code, a wake, the drop of a user's value, or an await (`table.rs`). The
//!   exception is the key's `Eq`.
//!
//! Nothing that all threads write is on the way of a flight: permits and the count of who holds the table
//! are in stripes (`gate.rs`, `hold.rs`).

mod apart;
mod call;
mod execution;
mod flight;
mod gate;
mod hold;
mod name;
mod outcome;
mod policy;
mod seat;
mod snapshot;
mod sync;
mod table;
mod waits;
mod wakers;

use std::fmt;
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

pub use crate::call::CallFuture;
pub use crate::flight::FlightId;
pub use crate::outcome::{CallOutput, EndedFlight, Error, FlightEnd, Role};
pub use crate::policy::{Abandoned, Policy, SharingMode};
pub use crate::snapshot::FlightSnapshot;

use crate::hold::Holds;
use crate::table::Table;

/// A table of flights, each one execution for one key.
///
/// Clones are the same table. What is to be shared must go through one table: two groups share nothing.
///
/// The key's `Hash` and `Eq` must be plain computations. They must not panic or block, and must not use
/// the group: `Eq` runs under a lock of the table.
pub struct Group<K, V> {
    table: Arc<Holds<K, V>>,
}

impl<K, V> Group<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty table.
    pub fn new(policy: Policy) -> Self {
        Self::with_clock(policy, Instant::now)
    }

    /// An empty table that reads `clock` where [`Policy::join_window`] asks for the age of a flight.
    ///
    /// The clock is read once for a call, before the call looks for a flight and with no lock held. If it
    /// goes back, a flight counts as just opened.
    pub fn with_clock(policy: Policy, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self::of(Table::new(policy, Box::new(clock), None))
    }

    /// An empty table that tells `observer` how each flight ended.
    ///
    /// The observer is called once for a flight, in the flight's own task, after its callers' outcome is
    /// settled and with no lock held. For a task that its runtime drops it is called where that happens.
    /// A slow observer delays a [drain](Group::drain) and nothing else. If it panics, the panic is
    /// reported by the panic hook and otherwise has no effect. `clock` is read for each call and each end.
    pub fn with_observer(
        policy: Policy,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        observer: impl Fn(&K, &EndedFlight<'_, V>) + Send + Sync + 'static,
    ) -> Self {
        Self::of(Table::new(
            policy,
            Box::new(clock),
            Some(Box::new(observer)),
        ))
    }

    fn of(table: Table<K, V>) -> Self {
        Self {
            table: Arc::new(Holds::new(table)),
        }
    }

    /// Asks for the value of `key`: joins the flight that is open for it, or opens one that runs `work`.
    ///
    /// Nothing happens before the first poll. It is the first poll that joins or opens, and if it opens,
    /// it spawns a task on the current tokio runtime. Both calling `work` and polling what it returns
    /// happen in that task. A follower's `work` is dropped unused.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Cancelled`] are the flight's and reach all its callers. The others
    /// refuse this caller at its first poll and change nothing for others: [`Error::TooManyFlights`],
    /// [`Error::TooManyCallers`], [`Error::TooManyExecutions`], [`Error::Draining`], and
    /// [`Error::WouldDeadlock`] for a call that work makes in its flight's own task.
    ///
    /// # Panics
    ///
    /// The first poll panics if it has to open a flight and there is no current tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the call is how its caller leaves; see [`CallFuture`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Error, Group, Policy, Role};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<u32, String> = Group::new(Policy::default());
    /// let answer = group.call(7, |_flight| async { "seven".to_owned() }).await;
    /// let answer = answer.expect("there is room, and the work does not panic");
    /// assert_eq!((answer.value.as_str(), answer.role), ("seven", Role::Leader));
    ///
    /// // A panic reaches the callers as an error, and the next call starts anew.
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

    /// Asks for a value of `key` that no flight opened before can give: opens one that runs `work`, in the
    /// place of the one that is open. For callers that say so, as by HTTP's `Cache-Control: no-cache`
    /// (RFC 9111, section 5.2.1.4).
    ///
    /// The first poll closes the key's open flight to joiners, as [`forget`](Group::forget) does, and opens
    /// this one in the same step: callers that come later join it. This caller is always its leader. In all
    /// else it is as [`call`](Group::call).
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Cancelled`] as of any call. The others refuse this caller at its
    /// first poll, and leave the flight that is open to those who join it: [`Error::TooManyFlights`],
    /// [`Error::TooManyExecutions`], as the superseded flight counts until it has ended,
    /// [`Error::TooManyCallers`] where no flight may have any, and [`Error::Draining`].
    ///
    /// # Panics
    ///
    /// The first poll panics if there is no current tokio runtime, and has superseded the open flight then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the call is how its caller leaves; see [`CallFuture`]. A flight that it has superseded stays so.
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
    /// // One that is on its way, one that must not have that, and one that takes what is open.
    /// let before = group.call("x", slow(1));
    /// let anew = group.call_fresh("x", slow(2));
    /// let after = group.call("x", slow(3));
    /// let (before, anew, after) = tokio::join!(before, anew, after);
    /// let [before, anew, after] = [before, anew, after].map(Result::unwrap);
    /// assert_eq!((before.value, anew.value, after.value), (1, 2, 2));
    /// assert_eq!((anew.role, after.role), (Role::Leader, Role::Follower));
    /// # }
    /// ```
    pub fn call_fresh<F, Fut>(&self, key: K, work: F) -> CallFuture<'_, K, V, F>
    where
        F: FnOnce(FlightId) -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        CallFuture::anew(&self.table, key, work)
    }

    /// Closes the key's flight to joiners. True if there was one.
    ///
    /// A call first polled after this has returned gets no result of a flight opened before it. Callers
    /// that are on the flight stay on it and get its outcome. It counts against [`Policy::flights`] and
    /// [`Policy::executions_per_key`] until it has ended.
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

    /// Opens no more flights and waits for those under way to end, until `deadline` completes; then
    /// cancels the ones left and returns how many those were.
    ///
    /// It starts with its first poll. From then on a call that would open a flight gets
    /// [`Error::Draining`], for good, while calls that find an open flight still join it. If it ends in
    /// time, every flight is terminal, its work is dropped and the observer told. Otherwise the callers of
    /// those cancelled are told at once, their work is dropped when their tasks are next scheduled, and a
    /// flight whose work has just returned may still land. A deadline that has passed cancels at once.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped after its first poll, nothing is cancelled and the group stays closed to new
    /// flights. It can be called again, also while another drain waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use single_flight::{Error, Group, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group: Group<&str, u32> = Group::new(Policy::default());
    /// let endless = group.call("x", |_flight| std::future::pending());
    /// let stop_at_once = async {};
    /// let (told, cancelled) = tokio::join!(endless, group.drain(stop_at_once));
    /// assert!(matches!(told, Err(Error::Cancelled { .. })));
    /// assert_eq!(cancelled, 1);
    /// let late = group.call("x", |_flight| async { 1 }).await;
    /// assert_eq!(late.err(), Some(Error::Draining));
    /// assert!(group.is_draining());
    /// # }
    /// ```
    pub async fn drain(&self, deadline: impl Future<Output = ()>) -> usize {
        let gate = &self.table.gate;
        gate.shut();
        let mut emptied = pin!(gate.emptied());
        let mut deadline = pin!(deadline);
        poll_fn(|cx| {
            if emptied.as_mut().poll(cx).is_ready() {
                return Poll::Ready(0);
            }
            let late = deadline.as_mut().poll(cx);
            late.map(|()| self.table.cancel_all())
        })
        .await
    }

    /// Flights alive, those included that were forgotten or are being cancelled: all that count against
    /// [`Policy::flights`]. Exact while none opens or ends.
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
    /// // The key is free at once, the flight is gone when its task has dropped the work.
    /// drop(call);
    /// assert_eq!(counts(), (1, 0, 0));
    /// tokio::task::yield_now().await;
    /// assert_eq!(counts(), (0, 0, 0));
    /// # }
    /// ```
    pub fn flights(&self) -> usize {
        self.table.gate.alive()
    }

    /// Callers on flights that are under way. Counted flight by flight: not for a hot path.
    pub fn callers(&self) -> usize {
        self.table.callers()
    }

    /// Whether a [drain](Group::drain) has started: no flight opens any more.
    pub fn is_draining(&self) -> bool {
        self.table.gate.is_shut()
    }

    /// Keys with a flight that is open to joiners; one that has outlived its join window counts until a
    /// call of its key comes and closes it. Counted shard by shard: not for a hot path.
    pub fn entries(&self) -> usize {
        self.table.entries()
    }

    /// Shows every flight that is under way to `show`, superseded and stopping ones included, in the order
    /// of their ids, which is not that of their opening.
    ///
    /// The flights are those of one look at the table, each shown as it is when its turn comes: one that
    /// has ended meanwhile is shown without callers. No lock is held while `show` runs, so it may use the
    /// group. For a page or a log that shows people what goes on: it takes memory for each flight, and time
    /// as for a call of each, so it is not for a hot path.
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
    /// group.visit(|key, under_way| {
    ///     let open = if under_way.joinable { "open" } else { "closed" };
    ///     lines.push(format!("{key}: {} callers, {open}", under_way.callers));
    /// });
    /// assert_eq!(lines, ["x: 1 callers, open"]);
    /// # }
    /// ```
    pub fn visit(&self, show: impl FnMut(&K, &FlightSnapshot)) {
        self.table.visit(show);
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
