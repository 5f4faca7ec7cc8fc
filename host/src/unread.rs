//! [`UnreadBudget`]: how many bytes a service holds for callers, and how many for one connection.
//!
//! It counts memory, not responses: the answer of a flight counts once for the service, however many callers it has,
//! and once for each connection that it is sent on. A count ends when the last reference to the bytes is dropped,
//! wherever they are: in a body, in a queue of the HTTP library, or partly written. Nothing waits here: what does not
//! fit is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::model::Resource;

/// What a request counts from its head to its response, besides the answer: about what its task, its head and its
/// place in the flight take.
pub const REQUEST_BYTES: usize = 8 << 10;

/// What a service holds for its callers.
///
/// Invariant: `held` exceeds `max_bytes` by no more than [`REQUEST_BYTES`] for each request in progress. Answers never
/// cause that: one that does not fit is not held.
#[derive(Debug)]
pub struct UnreadBudget {
    max_bytes: usize,
    max_bytes_per_connection: usize,
    held: AtomicUsize,
}

impl UnreadBudget {
    /// A budget of `max_bytes` for all connections, and `max_bytes_per_connection` for each.
    #[must_use]
    pub fn new(max_bytes: usize, max_bytes_per_connection: usize) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            max_bytes_per_connection,
            held: AtomicUsize::new(0),
        })
    }

    /// The bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The share of a new connection.
    #[must_use]
    pub fn connection(self: &Arc<Self>) -> Arc<ConnectionBudget> {
        Arc::new(ConnectionBudget {
            service: Arc::clone(self),
            held: Mutex::default(),
        })
    }

    /// The same `bytes`, which count until the last reference to what is returned is dropped. `None` if they do not
    /// fit.
    fn hold(self: &Arc<Self>, bytes: Bytes) -> Option<Bytes> {
        let length = bytes.len();
        let fits = |held: usize| {
            held.checked_add(length)
                .filter(|sum| *sum <= self.max_bytes)
        };
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()?;
        Some(Bytes::from_owner(Held {
            count: Count::new(self, length),
            bytes,
        }))
    }

    /// Counts `bytes` whether they fit or not.
    fn count(self: &Arc<Self>, bytes: usize) -> Count {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Count::new(self, bytes)
    }
}

/// Bytes that count in a budget until this value is dropped.
#[derive(Debug)]
struct Count {
    budget: Arc<UnreadBudget>,
    bytes: usize,
}

impl Count {
    fn new(budget: &Arc<UnreadBudget>, bytes: usize) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }
}

impl Count {
    /// Counts `bytes` instead, if they fit.
    fn resize(&mut self, bytes: usize) -> Result<(), Resource> {
        let UnreadBudget { max_bytes, .. } = *self.budget;
        let before = self.bytes;
        let fits = |held: usize| {
            let sum = (held - before).checked_add(bytes)?;
            (bytes <= before || sum <= max_bytes).then_some(sum)
        };
        self.budget
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| Resource::UnreadBytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes with what ends when the last reference to them is dropped.
struct Held<C> {
    #[expect(dead_code, reason = "it is kept for its Drop")]
    count: C,
    bytes: Bytes,
}

impl<C> AsRef<[u8]> for Held<C> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a service holds for one connection, as a share of its [`UnreadBudget`].
#[derive(Debug)]
pub struct ConnectionBudget {
    service: Arc<UnreadBudget>,
    held: Mutex<HeldByConnection>,
}

#[derive(Debug, Default)]
struct HeldByConnection {
    bytes: usize,
    /// The oldest first. Most connections have one at a time.
    answers: SmallVec<[HeldAnswer; 1]>,
}

/// An answer that at least one response of the connection refers to.
#[derive(Debug)]
struct HeldAnswer {
    /// Where its first byte is: it identifies the answer for as long as it is held.
    address: usize,
    bytes: usize,
    responses: usize,
    since: Instant,
}

/// Budgets are equal if they are the same connection's.
impl PartialEq for ConnectionBudget {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ConnectionBudget {}

impl ConnectionBudget {
    /// Counts a request of [`REQUEST_BYTES`] for as long as the guard lives.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> RequestCount {
        self.count(REQUEST_BYTES)
    }

    /// Counts the arguments of a request, of up to `bytes`, for as long as the guard lives.
    ///
    /// # Errors
    ///
    /// The resource that has no room for them. Unlike those of requests, counts of arguments never exceed a budget.
    pub fn begin_arguments(self: &Arc<Self>, bytes: usize) -> Result<RequestCount, Resource> {
        let mut count = self.count(0);
        count.resize(bytes)?;
        Ok(count)
    }

    fn count(self: &Arc<Self>, bytes: usize) -> RequestCount {
        self.lock().bytes += bytes;
        RequestCount {
            connection: Arc::clone(self),
            bytes,
            count: self.service.count(bytes),
        }
    }

    /// Checks that an answer of `max_answer` bytes would still fit, to be called before work for it begins. An answer
    /// that may take more than half of a budget is expected to take half of it.
    ///
    /// # Errors
    ///
    /// The resource that has no room for it.
    pub fn check(&self, max_answer: usize) -> Result<(), Resource> {
        let fits = |held: usize, max: usize| held.saturating_add(max_answer.min(max / 2)) <= max;
        if !fits(self.service.held(), self.service.max_bytes) {
            return Err(Resource::UnreadBytes);
        }
        let held = self.lock();
        // The request itself, without which nothing could be answered, may take all of it.
        let others = held.bytes.saturating_sub(REQUEST_BYTES);
        if others > 0 && !fits(held.bytes, self.service.max_bytes_per_connection) {
            return Err(Resource::UnreadBytesOfConnection);
        }
        Ok(())
    }

    /// The same `answer`, which counts for the service until the last reference to what is returned is dropped.
    /// `None` if it does not fit.
    #[must_use]
    pub fn hold_shared(&self, answer: Bytes) -> Option<Bytes> {
        self.service.hold(answer)
    }

    /// The same `answer`, which counts for this connection, once for all of its responses, until the last reference to
    /// what is returned is dropped. Without another answer it fits, whatever its size.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn hold(self: &Arc<Self>, answer: Bytes) -> Result<Bytes, Resource> {
        if answer.is_empty() {
            return Ok(answer);
        }
        let (address, bytes) = (answer.as_ptr() as usize, answer.len());
        let mut held = self.lock();
        let same = held
            .answers
            .iter_mut()
            .find(|held| held.address == address && held.bytes == bytes);
        match same {
            Some(same) => same.responses += 1,
            None => {
                let max = self.service.max_bytes_per_connection;
                if !held.answers.is_empty() && held.bytes.saturating_add(bytes) > max {
                    return Err(Resource::UnreadBytesOfConnection);
                }
                held.bytes += bytes;
                held.answers.push(HeldAnswer {
                    address,
                    bytes,
                    responses: 1,
                    since: Instant::now(),
                });
            }
        }
        drop(held);
        Ok(Bytes::from_owner(Held {
            count: ResponseCount {
                connection: Arc::clone(self),
                address,
                bytes,
            },
            bytes: answer,
        }))
    }

    /// The same `answer`, which no other connection gets: it counts for the service and for this connection, as in
    /// [`hold_shared`](Self::hold_shared) and [`hold`](Self::hold).
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn hold_alone(self: &Arc<Self>, answer: Bytes) -> Result<Bytes, Resource> {
        let held = self.hold_shared(answer).ok_or(Resource::UnreadBytes)?;
        self.hold(held)
    }

    /// When the answer that is held for the longest time began to be held.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.lock().answers.first().map(|oldest| oldest.since)
    }

    fn release(&self, address: usize, bytes: usize) {
        let mut held = self.lock();
        let same = held
            .answers
            .iter_mut()
            .position(|held| held.address == address && held.bytes == bytes);
        let Some(index) = same else { return };
        let answer = &mut held.answers[index];
        answer.responses -= 1;
        if answer.responses == 0 {
            held.answers.remove(index);
            held.bytes -= bytes;
        }
        // A connection that is kept for later requests keeps no memory for many answers.
        if held.answers.is_empty() && held.answers.spilled() {
            held.answers = SmallVec::new();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldByConnection> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, or its arguments, that count until this value is dropped.
#[derive(Debug)]
pub struct RequestCount {
    connection: Arc<ConnectionBudget>,
    bytes: usize,
    count: Count,
}

impl RequestCount {
    /// Counts `bytes` instead.
    ///
    /// # Errors
    ///
    /// The resource that has no room for them. What was counted before still is.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Resource> {
        // One lock, and one change of the counter: of requests that check before others have counted, all would pass.
        let mut held = self.connection.lock();
        let max = self.connection.service.max_bytes_per_connection;
        let others = held.bytes - self.bytes;
        if bytes > self.bytes && others.saturating_add(bytes) > max {
            return Err(Resource::UnreadBytesOfConnection);
        }
        self.count.resize(bytes)?;
        held.bytes = others + bytes;
        drop(held);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for RequestCount {
    fn drop(&mut self) {
        self.connection.lock().bytes -= self.bytes;
    }
}

/// A response that refers to an answer until this value is dropped.
#[derive(Debug)]
struct ResponseCount {
    connection: Arc<ConnectionBudget>,
    address: usize,
    bytes: usize,
}

impl Drop for ResponseCount {
    fn drop(&mut self) {
        self.connection.release(self.address, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    /// An answer of this many bytes.
    fn answer(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn an_answer_counts_once_for_the_service_until_its_last_byte_is_dropped() {
        let budget = UnreadBudget::new(100, 1_000);
        let (one, other) = (budget.connection(), budget.connection());
        let shared = one.hold_shared(answer(60)).unwrap();
        let mut of_one = one.hold(shared.clone()).unwrap();
        let of_other = other.hold(shared).unwrap();
        assert_eq!(budget.held(), 60);
        assert_eq!(other.hold_shared(answer(41)), None);
        let exact = other.hold_shared(answer(40)).unwrap();
        assert_eq!(budget.held(), 100);
        drop((of_other, exact));
        let last = of_one.split_off(59);
        drop(of_one);
        assert_eq!(budget.held(), 60);
        drop(last);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn an_answer_counts_once_for_each_connection_whatever_the_number_of_its_responses() {
        let budget = UnreadBudget::new(1_000, 100);
        let connection = budget.connection();
        let shared = answer(60);
        let [first, second] = [(); 2].map(|()| connection.hold(shared.clone()).unwrap());
        let full = Err(Resource::UnreadBytesOfConnection);
        assert_eq!(connection.hold(answer(41)), full);
        drop(first);
        assert_eq!(connection.hold(answer(41)), full);
        drop(second);
        let large = connection.hold(answer(500));
        assert!(large.is_ok(), "alone it fits");
        assert_eq!(connection.hold(answer(1)), full);
        assert!(budget.connection().hold(answer(100)).is_ok());
    }

    #[test]
    fn there_is_room_for_the_largest_answer_or_the_call_is_refused() {
        let (request, max) = (REQUEST_BYTES, 10 * REQUEST_BYTES);
        let budget = UnreadBudget::new(max, max);
        let connection = budget.connection();
        let _request = connection.begin();
        assert_eq!(budget.held(), request);
        assert_eq!(connection.check(4 * request), Ok(()));
        // More than half of it counts as half.
        assert_eq!(connection.check(usize::MAX), Ok(()));
        let held = connection.hold(connection.hold_shared(answer(5 * request)).unwrap());
        assert_eq!(connection.check(4 * request), Ok(()));
        assert_eq!(
            connection.check(4 * request + 1),
            Err(Resource::UnreadBytes)
        );
        drop(held);

        let budget = UnreadBudget::new(1 << 30, max);
        let connection = budget.connection();
        let requests = [(); 6].map(|()| connection.begin());
        assert_eq!(connection.check(4 * request), Ok(()));
        let full = Err(Resource::UnreadBytesOfConnection);
        assert_eq!(connection.check(4 * request + 1), full);
        drop(requests);
        assert_eq!((connection.check(usize::MAX), budget.held()), (Ok(()), 0));
        // The first request of a connection is never refused on behalf of the connection.
        let connection = UnreadBudget::new(1 << 30, 1).connection();
        let first = connection.begin();
        assert_eq!(connection.check(usize::MAX), Ok(()));
        let _second = connection.begin();
        assert_eq!(connection.check(usize::MAX), full);
        drop(first);
    }

    // fault 110
    #[test]
    fn arguments_never_exceed_a_budget_and_count_what_they_take() {
        let budget = UnreadBudget::new(100, 60);
        let (one, other) = (budget.connection(), budget.connection());
        let mut first = one.begin_arguments(60).unwrap();
        let of_connection = Resource::UnreadBytesOfConnection;
        assert_eq!(one.begin_arguments(1).unwrap_err(), of_connection);
        assert_eq!(
            other.begin_arguments(41).unwrap_err(),
            Resource::UnreadBytes
        );
        assert_eq!(budget.held(), 60);
        assert_eq!(first.resize(10), Ok(()));
        assert_eq!(budget.held(), 10);
        let second = other.begin_arguments(50).unwrap();
        assert_eq!(first.resize(51), Err(Resource::UnreadBytes));
        assert_eq!(first.resize(50), Ok(()));
        assert_eq!(first.resize(61), Err(of_connection));
        assert_eq!(budget.held(), 100);
        drop(second);
        assert_eq!(budget.held(), 50);
        drop(first);
        assert_eq!(budget.held(), 0);
        assert!(one.begin_arguments(60).is_ok());
    }

    // fault 110
    #[test]
    fn arguments_that_arrive_at_the_same_time_do_not_exceed_the_budget_together() {
        let budget = UnreadBudget::new(10, 10);
        let admitted = std::thread::scope(|scope| {
            let begin = || {
                let budget = &budget;
                scope.spawn(move || budget.connection().begin_arguments(1).ok())
            };
            let begun: Vec<_> = (0..40).map(|_| begin()).collect();
            let counts: Vec<_> = begun.into_iter().map(|one| one.join().unwrap()).collect();
            counts.iter().flatten().count()
        });
        assert_eq!((admitted, budget.held()), (10, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_is_the_first_that_is_still_held() {
        let connection = UnreadBudget::new(100, 100).connection();
        let mut held = Vec::new();
        let began = Instant::now();
        for length in [1, 2, 3] {
            held.push(connection.hold(answer(length)).unwrap());
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(connection.oldest(), Some(began));
        held.remove(1);
        assert_eq!(connection.oldest(), Some(began));
        held.remove(0);
        assert_eq!(connection.oldest(), Some(began + Duration::from_secs(2)));
        held.clear();
        assert_eq!(connection.oldest(), None);
    }
}
