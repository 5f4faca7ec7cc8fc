//! The number of a thread's stripe. State that every thread would write for every flight is split into
//! stripes, so that threads write to different cache lines.

use crate::sync::thread_number;

/// The number of stripes: about as many as there are threads that open flights at the same time.
pub(crate) const STRIPES: usize = if cfg!(shuttle) { 2 } else { 16 };

/// The stripe of the current thread.
pub(crate) fn current_stripe() -> usize {
    stripe_of(thread_number())
}

/// Neighbours get different stripes, and every number gets one.
fn stripe_of(thread_number: usize) -> usize {
    thread_number % STRIPES
}

#[cfg(test)]
mod tests {
    use super::{STRIPES, stripe_of};

    #[test]
    fn threads_take_the_stripes_in_turn_however_many_there_are() {
        let stripes: Vec<_> = (0..3 * STRIPES).map(stripe_of).collect();
        let turns = [(); 3].map(|()| 0..STRIPES).into_iter().flatten();
        assert_eq!(stripes, turns.collect::<Vec<_>>());
        assert!(stripe_of(usize::MAX) < STRIPES);
    }
}
