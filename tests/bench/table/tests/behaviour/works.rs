//! The work of the callers, and the test's end of it: every execution has a number, ends as the test
//! says, and leaves word of what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bench_table::contestants::{Execution, Failure, Outcome};
use tokio::sync::oneshot;

/// How an execution is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a value that has its number.
    Land,
    /// With [`Failure::Work`].
    Fail,
    /// With a panic.
    Panic,
}

/// What has become of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits to be told how to end, or has been told and is not polled.
    UnderWay,
    /// It has ended as it was told.
    Ended,
    /// It was dropped before.
    Stopped,
}

/// Every execution there was, by number.
#[derive(Default)]
pub(crate) struct Works {
    begun: Mutex<Vec<Begun>>,
}

struct Begun {
    ending: Option<oneshot::Sender<Ending>>,
    fate: Fate,
}

impl Works {
    /// Work that counts as an execution from when it is called.
    pub(crate) async fn work(self: Arc<Self>) -> Outcome {
        let (ending, ended) = oneshot::channel();
        let mut watched = Watched {
            number: self.begin(ending),
            fate: Fate::Stopped,
            works: self,
        };
        let ending = ended.await;
        watched.fate = Fate::Ended;
        match ending.expect("the test says how the work ends") {
            Ending::Land => Ok(Arc::new(Execution::new(watched.number as u64))),
            Ending::Fail => Err(Failure::Work),
            Ending::Panic => panic!("the work panics, as the test wants it to"),
        }
    }

    fn begin(&self, ending: oneshot::Sender<Ending>) -> usize {
        let mut begun = self.lock();
        begun.push(Begun {
            ending: Some(ending),
            fate: Fate::UnderWay,
        });
        begun.len() - 1
    }

    /// How many executions have begun.
    pub(crate) fn begun(&self) -> usize {
        self.lock().len()
    }

    /// Tells an execution how to end.
    pub(crate) fn end(&self, number: usize, ending: Ending) {
        let sender = self.lock()[number].ending.take();
        // It may have been dropped; then there is nothing to end.
        let _ = sender.expect("an execution is told once").send(ending);
    }

    /// What has become of every execution.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        self.lock().iter().map(|begun| begun.fate).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes what became of an execution when it is dropped, which is also how it ends.
struct Watched {
    works: Arc<Works>,
    number: usize,
    fate: Fate,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.works.lock()[self.number].fate = self.fate;
    }
}
