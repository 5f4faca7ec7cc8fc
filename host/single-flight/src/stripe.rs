//! The number of a thread's stripe. State that every thread would write for every flight is split into
//! stripes, so that threads write to different cache lines.

use crate::sync::thread_number;

/// The number of stripes: about as many as there are threads that open flights at the same time.
pub(crate) const STRIPES: usize = if cfg!(shuttle) { 2 } else { 16 };

/// The stripe of the current thread.
pub(crate) fn current_stripe() -> usize {
    thread_number() % STRIPES
}
