//! Whether answers that would have been shared are equal, for clients whose callers share nothing: where
//! they are not, the key does not say enough, or the upstream changes fast.
//!
//! Those that begin while another of their key runs that would itself have been shared with none are compared
//! with the first of them to land. What is kept of an answer is a digest, keyed by each process anew, and only
//! until all of them have landed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;

use crate::model::{Call, ClientError, Outcome};

/// Those that an execution which begins now comparisons with, by key, while the first of them runs.
#[derive(Debug, Default)]
pub(super) struct Comparisons(Mutex<HashMap<Call, Arc<AnswerComparison>>>);

/// Executions of one key that would have been one.
#[derive(Debug, Default)]
pub(super) struct AnswerComparison {
    /// How many have begun. Written under the lock of [`Comparisons`].
    begun: AtomicUsize,
    /// The digest of the answer that was the first.
    first: OnceLock<Digest>,
}

/// An execution that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Execution {
    comparisons: Arc<Comparisons>,
    comparison: Arc<AnswerComparison>,
    /// Where it was the first to begin: it is not overlapped with any more when it has ended.
    leads: Option<Call>,
}

impl Comparisons {
    /// An execution of `key` begins.
    pub(super) fn begin(self: &Arc<Self>, key: &Call) -> Execution {
        let mut keys = self.keys();
        let comparison = Arc::clone(keys.entry(key.clone()).or_default());
        let is_first = comparison.begun.fetch_add(1, Ordering::Relaxed) == 0;
        drop(keys);
        Execution {
            comparisons: Arc::clone(self),
            comparison,
            leads: is_first.then(|| key.clone()),
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Call, Arc<AnswerComparison>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execution {
    /// Ends it. What it has overlapped with, if with anything, is kept by those whose answers are still to be
    /// compared.
    pub(super) fn end(self) -> Option<Arc<AnswerComparison>> {
        let comparison = Arc::clone(&self.comparison);
        // Where it was the first, none begins to comparison with it after this.
        drop(self);
        (comparison.begun.load(Ordering::Relaxed) > 1).then_some(comparison)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if let Some(key) = &self.leads {
            self.comparisons.keys().remove(key);
        }
    }
}

impl AnswerComparison {
    /// Whether an answer is equal to the first of them; `None` for that one itself.
    pub(super) fn compare(&self, result: &Result<Outcome, ClientError>) -> Option<bool> {
        let digest = digest(result);
        let mut is_first = false;
        let first = self.first.get_or_init(|| {
            is_first = true;
            digest
        });
        (!is_first).then_some(*first == digest)
    }
}

/// 128 bits: two answers that differ have the same by chance once in 10³⁸ times.
type Digest = [u8; 16];

/// The digest of what callers are shown of an answer.
fn digest(result: &Result<Outcome, ClientError>) -> Digest {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system has randomness")
    });
    let tag = match result {
        Ok(items) => hmac::sign(&KEY, &items.json()),
        // Its words begin with no bracket, and every list of items does.
        Err(error) => hmac::sign(&KEY, error.to_string().as_bytes()),
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
    fn executions_that_overlap_are_compared_with_the_first_of_them_to_land() {
        let comparisons = Arc::<Comparisons>::default();
        let begin = |key: &str| comparisons.begin(&key.into());
        let (one, two, three) = (begin("k"), begin("k"), begin("k"));
        assert!(begin("other").end().is_none());
        assert_eq!(two.end().unwrap().compare(&answer("1")), None);
        assert_eq!(one.end().unwrap().compare(&answer("1")), Some(true));
        let three = three.end().unwrap();
        assert_eq!(three.compare(&answer("2")), Some(false));
        assert_eq!(three.compare(&Err(ClientError::NotFound)), Some(false));
    }

    #[test]
    fn one_that_begins_when_the_first_has_ended_would_not_have_been_shared_with_it() {
        let comparisons = Arc::<Comparisons>::default();
        let begin = || comparisons.begin(&"k".into());
        let (one, two) = (begin(), begin());
        one.end().unwrap().compare(&answer("1"));
        let (three, four) = (begin(), begin());
        assert_eq!(two.end().unwrap().compare(&answer("1")), Some(true));
        assert_eq!(three.end().unwrap().compare(&answer("2")), None);
        assert_eq!(four.end().unwrap().compare(&answer("2")), Some(true));
        assert_eq!(comparisons.keys().len(), 0);
    }

    #[test]
    fn one_that_is_cancelled_leaves_nothing() {
        let comparisons = Arc::<Comparisons>::default();
        drop(comparisons.begin(&"k".into()));
        assert_eq!(comparisons.keys().len(), 0);
        assert!(comparisons.begin(&"k".into()).end().is_none());
    }
}
