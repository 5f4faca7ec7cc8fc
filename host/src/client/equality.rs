//! Whether answers that would have been shared are equal, for clients whose callers share nothing: where
//! they are not, the key does not say enough, or the upstream changes fast.
//!
//! Each execution is compared with the first to land of those that it overlaps with. What is kept of an
//! answer is a digest, keyed by each process anew, and only while such executions run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;

use super::{ClientError, Items, Key};

/// The executions under way, by key.
#[derive(Debug, Default)]
pub(super) struct Overlaps(Mutex<HashMap<Key, Running>>);

/// Those of one key. Invariant: there is at least one.
#[derive(Debug)]
struct Running {
    executions: usize,
    overlap: Arc<Overlap>,
}

/// Executions of one key that have overlapped without a gap: the digest of the answer that was the first.
#[derive(Debug, Default)]
pub(super) struct Overlap(OnceLock<Digest>);

/// An execution that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Execution {
    overlaps: Arc<Overlaps>,
    key: Key,
    overlap: Arc<Overlap>,
}

impl Overlaps {
    /// An execution of `key` begins.
    pub(super) fn begin(self: &Arc<Self>, key: &Key) -> Execution {
        let mut keys = self.keys();
        let running = keys.entry(key.clone()).or_insert_with(|| Running {
            executions: 0,
            overlap: Arc::default(),
        });
        running.executions += 1;
        Execution {
            overlaps: Arc::clone(self),
            key: key.clone(),
            overlap: Arc::clone(&running.overlap),
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execution {
    /// What it overlaps with: kept by those whose answers are still to be compared.
    pub(super) fn overlap(&self) -> Arc<Overlap> {
        Arc::clone(&self.overlap)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if let Entry::Occupied(mut running) = self.overlaps.keys().entry(self.key.clone()) {
            running.get_mut().executions -= 1;
            if running.get().executions == 0 {
                running.remove();
            }
        }
    }
}

impl Overlap {
    /// Whether an answer is equal to the first of them; `None` for that one itself.
    pub(super) fn compare(&self, result: &Result<Items, ClientError>) -> Option<bool> {
        let digest = digest(result);
        let mut is_first = false;
        let first = self.0.get_or_init(|| {
            is_first = true;
            digest
        });
        (!is_first).then_some(*first == digest)
    }
}

/// 128 bits: two answers that differ have the same by chance once in 10³⁸ times.
type Digest = [u8; 16];

/// The digest of what callers are shown of an answer.
fn digest(result: &Result<Items, ClientError>) -> Digest {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system has randomness")
    });
    let tag = match result {
        Ok(items) => hmac::sign(&KEY, &items.json()),
        // Begins with no bracket, as every list of items does.
        Err(error) => hmac::sign(&KEY, error.to_string().as_bytes()),
    };
    let mut digest = Digest::default();
    digest.copy_from_slice(&tag.as_ref()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Item;

    fn answer(body: &str) -> Result<Items, ClientError> {
        let item = Item::new("1".to_owned(), body.to_owned()).unwrap();
        Ok(Items::new(vec![item]).unwrap())
    }

    #[test]
    fn executions_that_overlap_are_compared_with_the_first_of_them_to_land() {
        let overlaps = Arc::<Overlaps>::default();
        let (one, two) = (overlaps.begin(&"k".into()), overlaps.begin(&"k".into()));
        let other = overlaps.begin(&"other".into());
        assert_eq!(two.overlap().compare(&answer("1")), None);
        assert_eq!(other.overlap().compare(&answer("2")), None);
        drop(two);
        assert_eq!(one.overlap().compare(&answer("1")), Some(true));
        let three = overlaps.begin(&"k".into());
        assert_eq!(three.overlap().compare(&answer("2")), Some(false));
        let failed = Err(ClientError::NotFound);
        assert_eq!(three.overlap().compare(&failed), Some(false));
    }

    #[test]
    fn nothing_is_kept_of_an_answer_when_no_execution_of_its_key_runs_any_more() {
        let overlaps = Arc::<Overlaps>::default();
        let (one, two) = (overlaps.begin(&"k".into()), overlaps.begin(&"k".into()));
        one.overlap().compare(&answer("1"));
        drop(one);
        assert_eq!(overlaps.keys().len(), 1);
        drop(two);
        assert_eq!(overlaps.keys().len(), 0);
        let later = overlaps.begin(&"k".into());
        assert_eq!(later.overlap().compare(&answer("2")), None);
    }
}
