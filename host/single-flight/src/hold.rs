//! What keeps a table alive. A flight outlives its callers, so its task holds the table; counting all
//! tasks in one place would have every thread write there for every flight.

use std::array;
use std::ops::Deref;
use std::sync::Arc;

use crate::gate::{STRIPES, stripe};
use crate::table::Table;

/// One of the holds on a table, on lines of memory that no other hold has a part in.
#[repr(align(128))]
pub(crate) struct Hold<K, V>(Arc<Table<K, V>>);

/// A hold on a table for each stripe of threads.
pub(crate) struct Holds<K, V>([Arc<Hold<K, V>>; STRIPES]);

impl<K, V> Holds<K, V> {
    pub(crate) fn new(table: Table<K, V>) -> Self {
        let table = Arc::new(table);
        Self(array::from_fn(|_| Arc::new(Hold(Arc::clone(&table)))))
    }

    /// The current thread's.
    pub(crate) fn here(&self) -> &Arc<Hold<K, V>> {
        &self.0[stripe()]
    }
}

impl<K, V> Deref for Hold<K, V> {
    type Target = Table<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K, V> Deref for Holds<K, V> {
    type Target = Table<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0[0]
    }
}
