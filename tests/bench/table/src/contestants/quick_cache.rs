//! quick_cache, used as a coalescer only.

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::coalescer::{Coalescer, Outcome, Value};

/// `Cache::get_or_insert_async` of a cache that keeps nothing: with a capacity of zero no value is admitted, and
/// the callers that wait get it nevertheless. To remove the value by its key instead would remove the
/// placeholder of a later execution if the key was forgotten in between.
#[derive(Debug)]
pub struct QuickCache {
    cache: Cache<u64, Value, UnitWeighter>,
}

impl Default for QuickCache {
    fn default() -> Self {
        // An estimate of the keys in flight at once, which determines the size of the shards.
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
