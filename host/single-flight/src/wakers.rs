//! The wakers of a flight's callers, each in a place of its own, so that a caller joins and leaves in
//! constant time. The first needs no allocation: most flights have one caller. Nothing here takes a
//! lock or runs a waker's code, but for [`Wakers::wake_all`], which takes the wakers by value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakers by place.
///
/// Invariant: a place is either held by one caller or listed in `vacant`. Place 0 is `first`, place
/// `n` is `rest[n - 1]`.
#[derive(Default)]
pub(crate) struct Wakers {
    first: Option<Waker>,
    rest: Vec<Option<Waker>>,
    /// Places given back, to be given out again before new ones.
    vacant: Vec<usize>,
    /// How many places were ever given out.
    places: usize,
}

impl Wakers {
    /// Gives out a place.
    pub(crate) fn insert(&mut self, waker: Waker) -> usize {
        if let Some(place) = self.vacant.pop() {
            *self.at(place) = Some(waker);
            return place;
        }
        let place = self.places;
        self.places += 1;
        match place {
            0 => self.first = Some(waker),
            _ => self.rest.push(Some(waker)),
        }
        place
    }

    /// Takes a place back. The waker is returned, to be dropped where no lock is held.
    pub(crate) fn remove(&mut self, place: usize) -> Option<Waker> {
        self.vacant.push(place);
        self.at(place).take()
    }

    /// The waker at a place that is held.
    pub(crate) fn at(&mut self, place: usize) -> &mut Option<Waker> {
        match place {
            0 => &mut self.first,
            _ => &mut self.rest[place - 1],
        }
    }

    pub(crate) fn wake_all(self) {
        for waker in self
            .first
            .into_iter()
            .chain(self.rest.into_iter().flatten())
        {
            wake(waker);
        }
    }
}

/// Wakes, whatever the waker does: one that panics must not cost the callers after it their wake.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(test)]
mod tests {
    use super::Wakers;
    use std::task::Waker;

    #[test]
    fn places_given_back_are_given_out_again() {
        let mut wakers = Wakers::default();
        let places = [(); 3].map(|()| wakers.insert(Waker::noop().clone()));
        assert_eq!(places, [0, 1, 2]);
        assert!(wakers.remove(0).is_some());
        assert!(wakers.remove(2).is_some());
        assert_eq!(wakers.insert(Waker::noop().clone()), 2);
        assert_eq!(wakers.insert(Waker::noop().clone()), 0);
        assert_eq!(wakers.insert(Waker::noop().clone()), 3);
    }
}
