//! The work of the callers, controlled by the test: every execution has a number, ends as the test chooses, and
//! records what happened to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bench_table::coalescer::{Execution, Failure, Outcome};
use tokio::sync::oneshot;

/// How an execution ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a value that has its number.
    Value,
    /// With [`Failure::Work`].
    Error,
    /// With a panic.
    Panic,
}

/// The state of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits for its ending, or is not polled.
    InFlight,
    /// It has ended as the test chose.
    Ended,
    /// It was dropped before its end.
    Stopped,
}

/// All executions, by number.
#[derive(Default)]
pub(crate) struct Executions {
    begun: Mutex<Vec<Begun>>,
}

struct Begun {
    ending: Option<oneshot::Sender<Ending>>,
    fate: Fate,
}

impl Executions {
    /// Work that counts as an execution from when it is called.
    pub(crate) async fn work(self: Arc<Self>) -> Outcome {
        let (ending, ended) = oneshot::channel();
        let mut watched = Watched {
            number: self.begin(ending),
            fate: Fate::Stopped,
            executions: self,
        };
        let ending = ended.await;
        watched.fate = Fate::Ended;
        match ending.expect("the test chooses how the work ends") {
            Ending::Value => Ok(Arc::new(Execution::new(watched.number as u64))),
            Ending::Error => Err(Failure::Work),
            Ending::Panic => panic!("the work panics, as the test chose"),
        }
    }

    fn begin(&self, ending: oneshot::Sender<Ending>) -> usize {
        let mut begun = self.lock();
        begun.push(Begun {
            ending: Some(ending),
            fate: Fate::InFlight,
        });
        begun.len() - 1
    }

    /// How many executions have begun.
    pub(crate) fn begun(&self) -> usize {
        self.lock().len()
    }

    /// Ends an execution.
    pub(crate) fn end(&self, number: usize, ending: Ending) {
        let sender = self.lock()[number].ending.take();
        // An error is of an execution that was dropped.
        let _ = sender.expect("an execution is ended once").send(ending);
    }

    /// The state of every execution.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        self.lock().iter().map(|begun| begun.fate).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records the state of an execution when it is dropped, which also happens at its end.
struct Watched {
    executions: Arc<Executions>,
    number: usize,
    fate: Fate,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.executions.lock()[self.number].fate = self.fate;
    }
}
