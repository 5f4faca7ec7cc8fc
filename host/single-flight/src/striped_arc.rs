//! A reference-counted pointer whose count is striped. A flight outlives its callers, so its task holds
//! the table; one reference count for all tasks would be written by every thread for every flight.

use std::array;
use std::ops::Deref;
use std::sync::Arc;

use crate::stripe::{STRIPES, current_stripe};

/// One stripe's reference to the value. Aligned, so that the counts of two stripes share no cache line.
#[repr(align(128))]
pub(crate) struct StripedRef<T>(Arc<T>);

/// A value with one reference count per stripe.
pub(crate) struct StripedArc<T>([Arc<StripedRef<T>>; STRIPES]);

impl<T> StripedArc<T> {
    pub(crate) fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(array::from_fn(|_| Arc::new(StripedRef(Arc::clone(&value)))))
    }

    /// The reference of the current thread's stripe, to be cloned.
    pub(crate) fn local(&self) -> &Arc<StripedRef<T>> {
        &self.0[current_stripe()]
    }
}

impl<T> Deref for StripedRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for StripedArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[0]
    }
}
