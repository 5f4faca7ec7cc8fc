//! Callers of one key of one peer, on a [`Stage`]. It does what a question says and keeps what came of
//! it; it judges nothing.

use std::sync::Arc;

use bench_table::contestants::Coalescer;

use crate::stage::{Attention, Caller, Receipt, Stage};
use crate::works::{Ending, Fate, Works};

/// The key that everyone asks for.
pub(crate) const KEY: u64 = 7;

/// The caller that opened the first flight.
pub(crate) const LEADER: usize = 0;

/// Callers of [`KEY`], by the order in which they came.
pub(crate) struct Scene<C> {
    pub(crate) coalescer: Arc<C>,
    pub(crate) works: Arc<Works>,
    stage: Stage,
    callers: Vec<Caller>,
}

impl<C: Coalescer> Scene<C> {
    pub(crate) fn new() -> Self {
        Self {
            coalescer: Arc::default(),
            works: Arc::default(),
            stage: Stage::new(),
            callers: Vec::new(),
        }
    }

    /// With a leader and two followers on execution 0.
    pub(crate) fn under_way() -> Self {
        let mut scene = Self::new();
        for _ in 0..3 {
            scene.call();
        }
        assert_eq!(scene.works.begun(), 1, "callers of one key share");
        scene
    }

    /// One more caller calls, with [`Works::work`].
    pub(crate) fn call(&mut self) {
        let works = Arc::clone(&self.works);
        let coalescer = Arc::clone(&self.coalescer);
        let call = async move { coalescer.call(KEY, move || works.work()).await };
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

    /// A caller is from now on polled when it was woken, or not.
    pub(crate) fn attend(&mut self, caller: usize, attention: Attention) {
        self.callers[caller].attend(attention);
        self.settle();
    }

    /// An execution ends.
    pub(crate) fn end(&mut self, number: usize, ending: Ending) {
        self.works.end(number, ending);
        self.settle();
    }

    /// Execution 0 ends, and so does every other, as soon as it has begun. Returns how many there were.
    pub(crate) fn end_all(&mut self, ending: Ending) -> usize {
        let mut ended = 0;
        while ended < self.works.begun() {
            if self.works.fates()[ended] == Fate::UnderWay {
                self.end(ended, ending);
            }
            ended += 1;
        }
        ended
    }

    /// Whether a newcomer gets an execution of its own, and with it a value.
    pub(crate) fn key_works(&mut self) -> bool {
        let (number, newcomer) = (self.works.begun(), self.callers.len());
        self.call();
        if self.works.begun() != number + 1 {
            return false;
        }
        self.end(number, Ending::Land);
        self.receipts()[newcomer] == Receipt::Value(number as u64)
    }

    /// What has become of every caller.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.callers.iter().map(|caller| caller.receipt).collect()
    }

    fn settle(&mut self) {
        self.stage.settle(&mut self.callers);
    }
}
