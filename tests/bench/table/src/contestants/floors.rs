//! The floors: no coalescer can cost less, because each of them does less than any coalescer has to.
//!
//! The first two are the cost of one call whose work runs in a task: spawn it, run it, wake the caller. They
//! share nothing and ignore the key. The third is the cost of many callers of one execution: join, be woken,
//! get the result. It has no table and one execution, and no caller can leave it.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::oneshot;

use crate::coalescer::{Coalescer, Failure, Outcome};

/// Spawns the work and awaits its handle.
#[derive(Debug, Default)]
pub struct SpawnAndJoin;

impl Coalescer for SpawnAndJoin {
    const NAME: &'static str = "floor: spawn, join handle";

    async fn call<F, Fut>(&self, _key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let task = tokio::spawn(async move { work().await });
        task.await.unwrap_or(Err(Failure::Cancelled))
    }

    fn forget(&self, _key: u64) -> bool {
        false
    }
}

/// Spawns the work and awaits its value through a oneshot channel.
#[derive(Debug, Default)]
pub struct SpawnAndSend;

impl Coalescer for SpawnAndSend {
    const NAME: &'static str = "floor: spawn, oneshot";

    async fn call<F, Fut>(&self, _key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            // An error is of a caller that has left.
            let _ = sender.send(work().await);
        });
        receiver.await.unwrap_or(Err(Failure::Cancelled))
    }

    fn forget(&self, _key: u64) -> bool {
        false
    }
}

/// A list of parked futures: a mutex over wakers, and a value that is set once. The first caller spawns the
/// work; when it is done the callers are woken one by one.
#[derive(Debug, Default)]
pub struct ParkedList {
    list: Arc<List>,
}

#[derive(Debug, Default)]
struct List {
    outcome: OnceLock<Outcome>,
    /// Pushed to and taken under the lock under which `outcome` is set or read as unset.
    parked: Mutex<Vec<Waker>>,
}

impl List {
    /// Parks a caller and returns how many are before it, or returns the outcome.
    fn park(&self, waker: &Waker) -> Result<usize, Outcome> {
        let waker = waker.clone();
        let mut parked = self.lock();
        match self.outcome.get() {
            Some(outcome) => Err(outcome.clone()),
            None => {
                parked.push(waker);
                Ok(parked.len() - 1)
            }
        }
    }

    fn complete(&self, outcome: Outcome) {
        let mut parked = self.lock();
        // It is set once: only the first caller spawns work.
        let _ = self.outcome.set(outcome);
        let woken = mem::take(&mut *parked);
        drop(parked);
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coalescer for ParkedList {
    const NAME: &'static str = "floor: list of wakers";

    fn call<F, Fut>(&self, _key: u64, work: F) -> impl Future<Output = Outcome> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let mut work = Some(work);
        poll_fn(move |cx| {
            if let Some(outcome) = self.list.outcome.get() {
                return Poll::Ready(outcome.clone());
            }
            // A later poll does not update the waker: the floor leaves that cost out.
            if let Some(work) = work.take() {
                match self.list.park(cx.waker()) {
                    Ok(0) => {
                        let list = Arc::clone(&self.list);
                        tokio::spawn(async move { list.complete(work().await) });
                    }
                    Ok(_) => {}
                    Err(outcome) => return Poll::Ready(outcome),
                }
            }
            Poll::Pending
        })
    }

    fn forget(&self, _key: u64) -> bool {
        false
    }
}
