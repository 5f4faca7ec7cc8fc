//! The synchronisation primitives of this crate, under one name each, so that the schedule explorer can
//! substitute its own (`--cfg shuttle`) and choose at each of them which thread runs next. No other module
//! depends on which set is in use.

#[cfg(shuttle)]
pub(crate) use explored::*;
#[cfg(not(shuttle))]
pub(crate) use real::*;

#[cfg(not(shuttle))]
mod real {
    use std::cell::Cell;
    pub(crate) use std::collections::hash_map::RandomState as KeyHasher;
    use std::hash::BuildHasherDefault;
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
    pub(crate) use std::thread_local;

    pub(crate) use dashmap::Entry;
    pub(crate) use tokio::spawn;
    pub(crate) use tokio::sync::Notify;

    use crate::hash::StoredHash;

    pub(crate) type DashMap<K, V> = dashmap::DashMap<K, V, BuildHasherDefault<StoredHash>>;

    /// A value of the process.
    macro_rules! process_wide {
        ($(#[$doc:meta])* static $name:ident: $kind:ty = $value:expr;) => {
            $(#[$doc])* static $name: $kind = $value;
        };
    }
    pub(crate) use process_wide;

    /// A small number that identifies the current thread.
    pub(crate) fn thread_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        thread_local! {
            static NUMBER: Cell<usize> = const { Cell::new(0) };
        }
        NUMBER.with(|number| {
            if number.get() == 0 {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        })
    }
}

#[cfg(shuttle)]
mod explored {
    use std::collections::hash_map::DefaultHasher;
    use std::hash::BuildHasherDefault;

    pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use shuttle::thread_local;
    pub(crate) use shuttle_dashmap::{DashMap, Entry};
    pub(crate) use shuttle_tokio::spawn;
    pub(crate) use shuttle_tokio::sync::Notify;

    /// Without a random seed, so that a failed schedule can be replayed.
    pub(crate) type KeyHasher = BuildHasherDefault<DefaultHasher>;

    macro_rules! process_wide {
        ($(#[$doc:meta])* static $name:ident: $kind:ty = $value:expr;) => {
            shuttle::lazy_static! { $(#[$doc])* static ref $name: $kind = $value; }
        };
    }
    pub(crate) use process_wide;

    pub(crate) fn thread_number() -> usize {
        shuttle::current::me().into()
    }

    /// Shuttle has no `OnceLock`. This is the one of std, with atomic operations before and after it at
    /// which the explorer can switch threads.
    #[derive(Default)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        point: AtomicUsize,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                point: AtomicUsize::new(0),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.point.load(Ordering::SeqCst);
            self.value.get()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.point.load(Ordering::SeqCst);
            let set = self.value.set(value);
            self.point.load(Ordering::SeqCst);
            set
        }
    }
}
