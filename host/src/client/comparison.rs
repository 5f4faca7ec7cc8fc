//! Compares answers that would have been shared, for clients in observe mode. Unequal answers mean that the key lacks
//! something, or that the upstream's data changes fast.
//!
//! The first execution of a key leads a comparison. Executions that begin while it runs belong to the comparison,
//! and the answers are compared with the first one to land. Only a digest of an answer is stored, keyed with a random
//! key of the process, until all executions of the comparison have landed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;

use crate::model::{Call, ClientError, Outcome};

/// The comparisons that further executions belong to, by call, while their first execution runs.
#[derive(Debug, Default)]
pub(super) struct Comparisons(Mutex<HashMap<Call, Arc<AnswerComparison>>>);

/// Executions that would have been one flight.
#[derive(Debug, Default)]
pub(super) struct AnswerComparison {
    /// How many executions have begun. Written under the lock of [`Comparisons`].
    begun: AtomicUsize,
    /// The digest of the first answer.
    first: OnceLock<Digest>,
}

/// An execution in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct Execution {
    comparisons: Arc<Comparisons>,
    comparison: Arc<AnswerComparison>,
    /// Set for the first execution of the comparison. When it ends, no further execution belongs to the comparison.
    leads: Option<Call>,
}

impl Comparisons {
    /// Begins an execution of `call`.
    pub(super) fn begin(self: &Arc<Self>, call: &Call) -> Execution {
        let mut calls = self.calls();
        let comparison = Arc::clone(calls.entry(call.clone()).or_default());
        let is_first = comparison.begun.fetch_add(1, Ordering::Relaxed) == 0;
        drop(calls);
        Execution {
            comparisons: Arc::clone(self),
            comparison,
            leads: is_first.then(|| call.clone()),
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<Call, Arc<AnswerComparison>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execution {
    /// Whether another execution of its call ran when it began.
    pub(super) fn overlaps(&self) -> bool {
        self.leads.is_none()
    }

    /// Ends the execution. Returns its comparison if any other execution belongs to it.
    pub(super) fn end(self) -> Option<Arc<AnswerComparison>> {
        let comparison = Arc::clone(&self.comparison);
        // Dropped before the count is read: if this is the first execution, no other can begin after the drop.
        drop(self);
        (comparison.begun.load(Ordering::Relaxed) > 1).then_some(comparison)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if let Some(call) = &self.leads {
            self.comparisons.calls().remove(call);
        }
    }
}

impl AnswerComparison {
    /// The answer `result` of an execution that belongs to this comparison.
    pub(super) fn answer(self: Arc<Self>, result: &Result<Outcome, ClientError>) -> ComparedAnswer {
        ComparedAnswer {
            digest: digest(result),
            comparison: self,
        }
    }
}

/// An answer that belongs to a comparison.
#[derive(Clone, Debug)]
pub(super) struct ComparedAnswer {
    comparison: Arc<AnswerComparison>,
    digest: Digest,
}

impl ComparedAnswer {
    /// Whether it equals the first answer of the comparison that lands; `None` if this is the first.
    pub(super) fn equal(&self) -> Option<bool> {
        let mut is_first = false;
        let first = self.comparison.first.get_or_init(|| {
            is_first = true;
            self.digest
        });
        (!is_first).then_some(*first == self.digest)
    }
}

/// 128 bits: two different answers have equal digests by chance once in 10³⁸ times.
type Digest = [u8; 16];

/// The digest of what callers get of an answer.
fn digest(result: &Result<Outcome, ClientError>) -> Digest {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system has randomness")
    });
    let signed = |kind: &[u8], bytes: &[u8]| {
        let mut context = hmac::Context::with_key(&KEY);
        context.update(kind);
        context.update(b"\0");
        context.update(bytes);
        context.sign()
    };
    let tag = match result {
        Ok(outcome) => match outcome.value() {
            Some(value) => signed(b"ok", value.bytes()),
            None => signed(b"ok", &outcome.json()),
        },
        Err(error) => match error.err() {
            Some(err) => signed(b"err", err.value().bytes()),
            None => signed(b"error", error.to_string().as_bytes()),
        },
    };
    let mut digest = Digest::default();
    digest.copy_from_slice(&tag.as_ref()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Item, Items};

    fn answer(body: &str) -> Result<Outcome, ClientError> {
        let item = Item::new("1".to_owned(), body.to_owned()).unwrap();
        Ok(Items::new(vec![item]).unwrap().into())
    }

    #[test]
    fn overlapping_executions_are_compared_with_the_first_one_to_land() {
        let comparisons = Arc::<Comparisons>::default();
        let begin = |key: &str| comparisons.begin(&key.into());
        let (one, two, three) = (begin("k"), begin("k"), begin("k"));
        assert!(begin("other").end().is_none());
        let equal = |of: &Arc<AnswerComparison>, answer| Arc::clone(of).answer(&answer).equal();
        assert_eq!(equal(&two.end().unwrap(), answer("1")), None);
        assert_eq!(equal(&one.end().unwrap(), answer("1")), Some(true));
        let three = three.end().unwrap();
        assert_eq!(equal(&three, answer("2")), Some(false));
        assert_eq!(equal(&three, Err(ClientError::NotFound)), Some(false));
    }

    #[test]
    fn an_execution_that_begins_after_the_first_has_ended_belongs_to_another_comparison() {
        let comparisons = Arc::<Comparisons>::default();
        let begin = || comparisons.begin(&"k".into());
        let (one, two) = (begin(), begin());
        one.end().unwrap().answer(&answer("1")).equal();
        let (three, four) = (begin(), begin());
        let answered = |of: Execution, text| of.end().unwrap().answer(&answer(text)).equal();
        assert_eq!(answered(two, "1"), Some(true));
        assert_eq!(answered(three, "2"), None);
        assert_eq!(answered(four, "2"), Some(true));
        assert_eq!(comparisons.calls().len(), 0);
    }

    #[test]
    fn a_cancelled_execution_leaves_no_entry() {
        let comparisons = Arc::<Comparisons>::default();
        drop(comparisons.begin(&"k".into()));
        assert_eq!(comparisons.calls().len(), 0);
        assert!(comparisons.begin(&"k".into()).end().is_none());
    }
}
