//! [`ConnectRetry`]: dials again for a short time while a target refuses connections, as a server does that restarts.
//!
//! Nothing of a request is sent before its connection is open, so no request is sent twice because of this, whatever
//! its method and whether it has a body. While a target refuses connections, one request dials it, and the others wait
//! for what that one finds. The time is counted from the first refusal and not for each request: once it has passed,
//! the target is down, and a refusal is reported at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::{ConnectError, ConnectFailure};
use crate::model::Limits;

/// The longest pause before the first attempt that follows a refusal. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// How long a target is known to be down after its last refusal. A refusal after that begins another outage.
const FORGET_AFTER: Duration = Duration::from_secs(2);

/// The most targets that are remembered. A guest may name many; a refusal of further ones is reported at once.
const MAX_OUTAGES: usize = 256;

/// Dials the targets of one client.
#[derive(Debug)]
pub(super) struct ConnectRetry {
    timeout: Duration,
    /// The targets that refused their newest connection, by scheme, host and port.
    outages: Mutex<HashMap<String, Arc<Outage>>>,
}

/// From the first refusal of a target until a connection is opened, or it is forgotten.
#[derive(Debug)]
struct Outage {
    /// When attempts end.
    due: Instant,
    /// The request that dials has its only permit.
    turn: Semaphore,
    /// Attempts so far of the requests that had the turn.
    attempts: AtomicU32,
    /// The newest refusal; `None` once a connection is open.
    refusal: watch::Sender<Option<RefusedConnect>>,
}

#[derive(Clone, Debug)]
struct RefusedConnect {
    error: ConnectError,
    at: Instant,
}

impl ConnectRetry {
    /// Attempts end after `limits.connect_retry_timeout`. They also end before half of the time that a request has to
    /// connect, so that the error is the refusal and not a timeout.
    pub(super) fn new(limits: &Limits) -> Self {
        let most = limits.connect_timeout.min(limits.request_timeout) / 2;
        Self {
            timeout: limits.connect_retry_timeout.min(most),
            outages: Mutex::default(),
        }
    }

    /// A connection to `target` that `dial` opens, and whether it took more than one attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends its attempt. Another request that waits for the target then dials it.
    pub(super) async fn connect<T, F>(
        &self,
        target: &Uri,
        mut dial: impl FnMut() -> F,
    ) -> Result<(T, bool), ConnectFailure>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let target = key(target);
        let give_up = Instant::now() + self.timeout;
        let mut outage = self.open_outage(&target);
        let mut was_retried = false;
        loop {
            let dialled = match &outage {
                None => dial().await.map_err(Some),
                Some(outage) => {
                    was_retried = true;
                    outage.dial(give_up.min(outage.due), &mut dial).await
                }
            };
            let error = match dialled {
                Ok(connection) => {
                    self.end(&target);
                    return Ok((connection, was_retried));
                }
                // Another request has connected.
                Err(None) => {
                    outage = None;
                    continue;
                }
                Err(Some(error)) => error,
            };
            let is_last = outage.is_some() || !error.is_transient() || self.timeout.is_zero();
            outage = if is_last {
                None
            } else {
                self.refused(target.clone(), &error)
            };
            if outage.is_none() || Instant::now() >= give_up {
                return Err(ConnectFailure { error, was_retried });
            }
        }
    }

    /// The outage of `target`, if attempts to end it are being made.
    fn open_outage(&self, target: &str) -> Option<Arc<Outage>> {
        let outages = self.outages();
        let outage = outages.get(target)?;
        (Instant::now() < outage.due).then(|| Arc::clone(outage))
    }

    /// Records that `target` refused a connection. Returns its outage, if attempts to end it are to be made.
    fn refused(&self, target: String, error: &ConnectError) -> Option<Arc<Outage>> {
        let now = Instant::now();
        let refusal = RefusedConnect {
            error: error.clone(),
            at: now,
        };
        let mut outages = self.outages();
        if outages.len() >= MAX_OUTAGES || outages.get(&target).is_some_and(|it| it.is_old(now)) {
            outages.retain(|_, outage| !outage.is_old(now));
        }
        if let Some(outage) = outages.get(&target) {
            outage.refusal.send_replace(Some(refusal));
            return (now < outage.due).then(|| Arc::clone(outage));
        }
        if outages.len() >= MAX_OUTAGES {
            return None;
        }
        let outage = Arc::new(Outage {
            due: now + self.timeout,
            turn: Semaphore::new(1),
            attempts: AtomicU32::new(0),
            refusal: watch::Sender::new(Some(refusal)),
        });
        outages.insert(target, Arc::clone(&outage));
        Some(outage)
    }

    /// Records that `target` has answered. A request that waited for it may have ended since, or have been sent over
    /// another connection, so that nothing else ends the outage; the next refusal begins another one.
    pub(super) fn answered(&self, target: &Uri) {
        let is_empty = self.outages().is_empty();
        if !is_empty {
            self.end(&key(target));
        }
    }

    /// Records that a connection to `target` is open.
    fn end(&self, target: &str) {
        // Almost always there is none.
        let ended = self.outages().remove(target);
        if let Some(outage) = ended {
            outage.refusal.send_replace(None);
        }
    }

    fn outages(&self) -> MutexGuard<'_, HashMap<String, Arc<Outage>>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outage {
    /// Dials until there is a connection, in turns with other requests and until `due`. The error is the last refusal;
    /// none means that another request has connected.
    async fn dial<T, F>(
        &self,
        due: Instant,
        dial: &mut impl FnMut() -> F,
    ) -> Result<T, Option<ConnectError>>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let mut refusal = self.refusal.subscribe();
        let turn = async {
            tokio::select! {
                // It is also the end of an outage that was over before this request subscribed.
                biased;
                _ = refusal.wait_for(Option::is_none) => None,
                // The semaphore is never closed, so this is never an error.
                turn = self.turn.acquire() => turn.ok(),
            }
        };
        let Ok(turn) = timeout_at(due, turn).await else {
            return Err(self.last_refusal());
        };
        let Some(_turn) = turn else { return Err(None) };
        loop {
            let pause = pause(self.attempts.fetch_add(1, Ordering::Relaxed));
            tokio::select! {
                _ = refusal.wait_for(Option::is_none) => return Err(None),
                () = sleep_until(due.min(Instant::now() + pause)) => {}
            }
            match dial().await {
                Err(error) if error.is_transient() => {
                    let at = Instant::now();
                    self.refusal.send_if_modified(|refusal| {
                        // A connection that was opened by another request ends the outage for good.
                        if let Some(refusal) = refusal {
                            *refusal = RefusedConnect {
                                error: error.clone(),
                                at,
                            };
                        }
                        false
                    });
                    if at >= due {
                        return Err(Some(error));
                    }
                }
                dialled => return dialled.map_err(Some),
            }
        }
    }

    fn last_refusal(&self) -> Option<ConnectError> {
        let refusal = self.refusal.borrow();
        refusal.as_ref().map(|refusal| refusal.error.clone())
    }

    /// Whether the last refusal was so long ago that the next one begins another outage.
    fn is_old(&self, now: Instant) -> bool {
        let refusal = self.refusal.borrow();
        refusal
            .as_ref()
            .is_none_or(|refusal| now >= self.due && now.duration_since(refusal.at) > FORGET_AFTER)
    }
}

fn key(target: &Uri) -> String {
    format!("{:?} {:?}", target.scheme_str(), target.authority())
}

/// The pause before an attempt that `attempts` others precede: by chance between half and all of a time that doubles,
/// so that several services do not dial at the same moments.
fn pause(attempts: u32) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << attempts.min(8))
        .min(MAX_PAUSE);
    let half = longest / 2;
    let random = RandomState::new().hash_one(0) % (half.as_nanos() as u64).max(1);
    half + Duration::from_nanos(random)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    fn retry(timeout: Duration) -> ConnectRetry {
        ConnectRetry::new(&Limits {
            connect_retry_timeout: timeout,
            ..Limits::default()
        })
    }

    fn target(host: &str) -> Uri {
        format!("http://{host}/path").parse().unwrap()
    }

    fn refused() -> ConnectError {
        ConnectError::Dial {
            why: "refused".to_owned(),
            is_transient: true,
        }
    }

    fn outages(retry: &ConnectRetry) -> usize {
        retry.outages().len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_at_the_first_attempt_is_no_retry_and_leaves_nothing() {
        let a = target("a");
        let retry = retry(TIMEOUT);
        let dialled = retry.connect(&a, async || Ok(7)).await;
        assert_eq!(dialled.unwrap(), (7, false));
        assert_eq!(outages(&retry), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_is_shorter_than_the_timeout_costs_no_connection() {
        let a = target("a");
        let retry = retry(TIMEOUT);
        let back = Instant::now() + TIMEOUT - MAX_PAUSE;
        let dialled = retry.connect(&a, async || {
            if Instant::now() < back {
                Err(refused())
            } else {
                Ok(())
            }
        });
        assert_eq!(dialled.await.unwrap(), ((), true));
        assert!(Instant::now() <= back + MAX_PAUSE);
        assert_eq!(outages(&retry), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_is_down_is_dialled_for_its_time_and_then_once_for_each_request() {
        let a = target("a");
        let (retry, dials) = (retry(TIMEOUT), Cell::new(0));
        let down = async || {
            dials.set(dials.get() + 1);
            Err::<(), _>(refused())
        };
        let began = Instant::now();
        let failure = retry.connect(&a, down).await.unwrap_err();
        assert!(failure.was_retried && failure.error.is_transient());
        assert_eq!(began.elapsed(), TIMEOUT);
        // Each pause is at least half of 10, 20, 40, 50, 50 ... ms.
        assert!((10..24).contains(&dials.get()), "{}", dials.get());
        for _ in 0..3 {
            dials.set(0);
            let failure = retry.connect(&a, down).await.unwrap_err();
            assert_eq!((failure.was_retried, dials.get()), (false, 1));
        }
        assert_eq!(began.elapsed(), TIMEOUT);
        // Another target, and the same one much later, have their own time.
        let other = retry.connect(&target("b"), down).await.unwrap_err();
        assert!(other.was_retried);
        tokio::time::advance(FORGET_AFTER * 2).await;
        let again = retry.connect(&a, down).await.unwrap_err();
        assert!(again.was_retried);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_dials_and_the_others_wait_for_what_it_finds() {
        let a = target("a");
        let (retry, open, most) = (retry(TIMEOUT), Cell::new(0), Cell::new(0));
        let (begun, refusals) = (Instant::now(), Cell::new(0));
        let back = begun + TIMEOUT / 2;
        let dial = async || {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            tokio::time::sleep(Duration::from_millis(1)).await;
            open.set(open.get() - 1);
            if Instant::now() < back {
                refusals.set(refusals.get() + 1);
                return Err(refused());
            }
            Ok(())
        };
        let first = retry.connect(&a, dial);
        let others = async {
            // The first has been refused by now.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let others = join_all((0..50).map(|_| retry.connect(&a, dial)));
            let watched = async {
                tokio::time::sleep_until(back).await;
                most.get()
            };
            tokio::join!(others, watched)
        };
        let (first, (others, most)) = tokio::join!(first, others);
        assert_eq!(most, 1);
        assert!(refusals.get() < 20, "{}", refusals.get());
        for dialled in others.into_iter().chain([first]) {
            assert_eq!(dialled.unwrap(), ((), true));
        }
        assert_eq!(outages(&retry), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ends_while_it_dials_leaves_its_turn_to_another() {
        let a = target("a");
        let (retry, began) = (retry(TIMEOUT), Instant::now());
        let dials = Cell::new(0);
        let mut first = Box::pin(retry.connect(&a, async || {
            dials.set(dials.get() + 1);
            if dials.get() == 1 {
                Err::<(), _>(refused())
            } else {
                pending().await
            }
        }));
        assert!(first.as_mut().now_or_never().is_none());
        let second = async {
            let dialled = retry.connect(&a, async || Ok(2)).await;
            assert_eq!(dialled.unwrap(), (2, true));
        };
        let left = async {
            tokio::select! {
                _ = &mut first => {}
                () = tokio::time::sleep(MAX_PAUSE) => {}
            }
            assert_eq!(dials.get(), 2);
            drop(first);
        };
        tokio::join!(second, left);
        assert!(began.elapsed() < TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_no_request_waits_for_ends_with_the_next_answer() {
        let (retry, a) = (retry(TIMEOUT), target("a"));
        let mut left = Box::pin(retry.connect(&a, async || Err::<(), _>(refused())));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(outages(&retry), 1);
        tokio::time::advance(TIMEOUT * 2).await;
        retry.answered(&target("b"));
        assert_eq!(outages(&retry), 1);
        retry.answered(&a);
        assert_eq!(outages(&retry), 0);
        let failure = retry.connect(&a, async || Err::<(), _>(refused())).await;
        assert!(failure.unwrap_err().was_retried);
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_failure_is_retried_and_none_without_a_timeout() {
        let a = target("a");
        for (timeout, error) in [
            (TIMEOUT, ConnectError::TimedOut),
            (TIMEOUT, ConnectError::Lookup(String::new())),
            (Duration::ZERO, refused()),
        ] {
            let (retry, began) = (retry(timeout), Instant::now());
            let failure = retry.connect(&a, async || Err::<(), _>(error.clone()));
            assert!(!failure.await.unwrap_err().was_retried);
            assert_eq!((began.elapsed(), outages(&retry)), (Duration::ZERO, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_names_many_targets_makes_the_host_remember_some() {
        let retry = retry(TIMEOUT);
        let down = async || Err::<(), _>(refused());
        let names = (0..MAX_OUTAGES + 9).map(|n| target(&format!("host{n}")));
        let names: Vec<_> = names.collect();
        let dialled = join_all(names.iter().map(|name| retry.connect(name, down)));
        let retried = dialled
            .await
            .into_iter()
            .filter(|it| it.as_ref().is_err_and(|it| it.was_retried));
        assert_eq!(retried.count(), MAX_OUTAGES);
        assert_eq!(outages(&retry), MAX_OUTAGES);
        tokio::time::advance(FORGET_AFTER * 2).await;
        assert!(
            retry
                .connect(&target("new"), down)
                .await
                .unwrap_err()
                .was_retried
        );
        assert_eq!(outages(&retry), 1);
    }

    #[test]
    fn the_refusal_is_reported_before_the_timeouts_of_its_request() {
        let limits = Limits {
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_millis(400),
            ..Limits::default()
        };
        assert_eq!(
            ConnectRetry::new(&limits).timeout,
            Duration::from_millis(200)
        );
    }
}
