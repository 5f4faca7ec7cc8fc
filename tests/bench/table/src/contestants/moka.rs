//! moka, used as a coalescer only.

use std::sync::Arc;

use moka::future::Cache;

use crate::coalescer::{Coalescer, Failure, Outcome, Value};

/// `Cache::try_get_with` of a cache that keeps nothing. With a capacity of zero moka keeps its list of
/// executions in flight and skips the map. That is cheaper than to insert and invalidate, and there is no
/// instant at which a later caller finds the value.
#[derive(Debug)]
pub struct Moka {
    cache: Cache<u64, Value>,
}

impl Default for Moka {
    fn default() -> Self {
        Self {
            cache: Cache::new(0),
        }
    }
}

impl Coalescer for Moka {
    const NAME: &'static str = "moka";

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let init = async move { work().await };
        let value = self.cache.try_get_with(key, init).await;
        value.map_err(|error: Arc<Failure>| *error)
    }

    fn forget(&self, _key: u64) -> bool {
        // `invalidate` removes values, not executions in flight.
        false
    }
}
