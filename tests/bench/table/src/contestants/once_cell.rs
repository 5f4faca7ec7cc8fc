//! A map of tokio's once-cells, as people write it by hand.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::OnceCell;

use crate::coalescer::{Coalescer, Outcome, Value};

/// `DashMap<K, Arc<OnceCell<V>>>`.
#[derive(Debug, Default)]
pub struct OnceCells {
    cells: DashMap<u64, Arc<OnceCell<Value>>>,
}

impl Coalescer for OnceCells {
    const NAME: &'static str = "DashMap of OnceCell";

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let cell = Arc::clone(&self.cells.entry(key).or_default());
        let value = cell.get_or_try_init(|| async {
            let value = work().await?;
            // Removed before the cell is set, so that no later caller finds the value. After an error the cell
            // stays: a follower runs the work again in it, and later callers have to find it.
            self.cells
                .remove_if(&key, |_, listed| Arc::ptr_eq(listed, &cell));
            Ok(value)
        });
        value.await.cloned()
    }

    fn forget(&self, key: u64) -> bool {
        self.cells.remove(&key);
        true
    }
}
