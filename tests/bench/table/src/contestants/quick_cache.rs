//! quick_cache, as a coalescer only.

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use super::{Coalescer, Outcome, Value};

/// `Cache::get_or_insert_async` of a cache that holds nothing: with a capacity of zero no value is
/// admitted, and those who wait get it all the same. Taking it out by its key instead would take out
/// the placeholder of a successor, where the key was forgotten meanwhile.
#[derive(Debug)]
pub struct QuickCache {
    cache: Cache<u64, Value, UnitWeighter>,
}

impl Default for QuickCache {
    fn default() -> Self {
        // An estimate of how many keys are under way at once: it sizes the shards.
        const KEYS: usize = 1_024;
        Self {
            cache: Cache::with_weighter(KEYS, 0, UnitWeighter),
        }
    }
}

impl Coalescer for QuickCache {
    const NAME: &'static str = "quick_cache";

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let value = async move { work().await };
        self.cache.get_or_insert_async(&key, value).await
    }

    fn forget(&self, key: u64) -> bool {
        self.cache.remove(&key);
        true
    }
}
