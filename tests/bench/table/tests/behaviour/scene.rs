//! The callers of one key of one peer, on an [`Executor`]. A scene does what a question needs and keeps the
//! results; it judges nothing.

use std::sync::Arc;

use bench_table::coalescer::Coalescer;

use crate::executions::{Ending, Executions, Fate};
use crate::executor::{Caller, Executor, Polling, Receipt};

/// The key of all callers.
pub(crate) const KEY: u64 = 7;

/// The caller that opened the first flight.
pub(crate) const LEADER: usize = 0;

/// Callers of [`KEY`], in the order of their calls.
pub(crate) struct Scene<C> {
    pub(crate) coalescer: Arc<C>,
    pub(crate) executions: Arc<Executions>,
    executor: Executor,
    callers: Vec<Caller>,
}

impl<C: Coalescer> Scene<C> {
    pub(crate) fn new() -> Self {
        Self {
            coalescer: Arc::default(),
            executions: Arc::default(),
            executor: Executor::new(),
            callers: Vec::new(),
        }
    }

    /// A scene with a leader and two followers on execution 0.
    pub(crate) fn in_flight() -> Self {
        let mut scene = Self::new();
        for _ in 0..3 {
            scene.call();
        }
        assert_eq!(scene.executions.begun(), 1, "callers of one key share");
        scene
    }

    /// One more caller calls, with [`Executions::work`].
    pub(crate) fn call(&mut self) {
        let executions = Arc::clone(&self.executions);
        let coalescer = Arc::clone(&self.coalescer);
        let call = async move { coalescer.call(KEY, move || executions.work()).await };
        self.enter(Caller::new(call));
    }

    /// One more caller is polled.
    pub(crate) fn enter(&mut self, caller: Caller) {
        self.callers.push(caller);
        self.settle();
    }

    /// A caller is dropped.
    pub(crate) fn leave(&mut self, caller: usize) {
        self.callers[caller].leave();
        self.settle();
    }

    /// From now on a caller is polled when it was woken, or it is not.
    pub(crate) fn set_polling(&mut self, caller: usize, polling: Polling) {
        self.callers[caller].set_polling(polling);
        self.settle();
    }

    /// An execution ends.
    pub(crate) fn end(&mut self, number: usize, ending: Ending) {
        self.executions.end(number, ending);
        self.settle();
    }

    /// Execution 0 ends, and every other as soon as it has begun. Returns how many there were.
    pub(crate) fn end_all(&mut self, ending: Ending) -> usize {
        let mut ended = 0;
        while ended < self.executions.begun() {
            if self.executions.fates()[ended] == Fate::InFlight {
                self.end(ended, ending);
            }
            ended += 1;
        }
        ended
    }

    /// Whether the next caller gets a new execution and its value.
    pub(crate) fn next_call_executes(&mut self) -> bool {
        let (number, next) = (self.executions.begun(), self.callers.len());
        self.call();
        if self.executions.begun() != number + 1 {
            return false;
        }
        self.end(number, Ending::Value);
        self.receipts()[next] == Receipt::Value(number as u64)
    }

    /// The state of every caller.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.callers.iter().map(|caller| caller.receipt).collect()
    }

    fn settle(&mut self) {
        self.executor.settle(&mut self.callers);
    }
}
