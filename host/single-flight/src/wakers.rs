//! The wakers of a flight's callers, each in a place of its own, so that a caller joins and leaves in
//! constant time. The first needs no allocation: most flights have one caller. Nothing here takes a
//! lock or runs a waker's code, but for [`Wakers::wake_all`], which takes the wakers by value.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakers by place.
///
/// Invariant: a place is either held by one caller or on the list of vacant ones. Place 0 is `first`,
/// place `n` is `rest[n - 1]`.
pub(crate) struct Wakers {
    first: Place,
    /// None until there is a second caller: to take and drop the wakers of one is then next to nothing.
    rest: Option<Box<Rest>>,
    /// The place to give out next: a vacant one, or else one past the last.
    next: u32,
}

struct Rest(Vec<Place>);

/// As big as a waker.
enum Place {
    Held(Waker),
    /// The vacant place to give out after this one.
    Vacant(u32),
}

impl Wakers {
    /// With one waker, at place 0.
    pub(crate) fn new(first: Waker) -> Self {
        Self {
            first: Place::Held(first),
            rest: None,
            next: 1,
        }
    }

    /// With no waker and no place given out.
    pub(crate) fn empty() -> Self {
        Self {
            first: Place::Vacant(1),
            rest: None,
            next: 0,
        }
    }

    /// Gives out a place.
    pub(crate) fn insert(&mut self, waker: Waker) -> u32 {
        let place = self.next;
        let rest = self.rest.as_ref().map_or(0, |rest| rest.0.len());
        if place as usize > rest {
            let rest = self.rest.get_or_insert_with(|| Box::new(Rest(Vec::new())));
            rest.0.push(Place::Held(waker));
            self.next = place + 1;
        } else if let Place::Vacant(next) = mem::replace(self.at(place), Place::Held(waker)) {
            self.next = next;
        }
        place
    }

    /// Takes a place back. The waker is returned, to be dropped where no lock is held.
    pub(crate) fn remove(&mut self, place: u32) -> Option<Waker> {
        let vacant = Place::Vacant(self.next);
        self.next = place;
        mem::replace(self.at(place), vacant).held()
    }

    /// The waker at a place that is held.
    pub(crate) fn get(&mut self, place: u32) -> Option<&Waker> {
        match self.at(place) {
            Place::Held(waker) => Some(waker),
            Place::Vacant(_) => None,
        }
    }

    /// Puts another waker at a place that is held, and returns the one that was there.
    pub(crate) fn replace(&mut self, place: u32, waker: Waker) -> Option<Waker> {
        mem::replace(self.at(place), Place::Held(waker)).held()
    }

    pub(crate) fn wake_all(self) {
        if let Place::Held(waker) = self.first {
            wake(waker);
        }
        if let Some(rest) = self.rest {
            rest.0.into_iter().filter_map(Place::held).for_each(wake);
        }
    }

    fn at(&mut self, place: u32) -> &mut Place {
        match place {
            0 => &mut self.first,
            _ => {
                let rest = self
                    .rest
                    .as_mut()
                    .expect("a place but the first was given out");
                &mut rest.0[place as usize - 1]
            }
        }
    }
}

impl Place {
    fn held(self) -> Option<Waker> {
        match self {
            Self::Held(waker) => Some(waker),
            Self::Vacant(_) => None,
        }
    }
}

/// Wakes, whatever the waker does: one that panics must not cost the callers after it their wake.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(test)]
mod tests {
    use super::{Place, Wakers};
    use std::task::Waker;

    fn insert(wakers: &mut Wakers) -> u32 {
        wakers.insert(Waker::noop().clone())
    }

    #[test]
    fn places_given_back_are_given_out_again() {
        for mut wakers in [Wakers::new(Waker::noop().clone()), {
            let mut empty = Wakers::empty();
            assert_eq!(insert(&mut empty), 0);
            empty
        }] {
            assert_eq!((insert(&mut wakers), insert(&mut wakers)), (1, 2));
            assert!(wakers.remove(0).is_some());
            assert!(wakers.get(0).is_none());
            assert!(wakers.remove(2).is_some());
            assert_eq!(insert(&mut wakers), 2);
            assert_eq!(insert(&mut wakers), 0);
            assert_eq!(insert(&mut wakers), 3);
        }
    }

    // 22: what a follower costs here.
    #[test]
    fn a_place_is_as_big_as_a_waker() {
        assert_eq!(size_of::<Place>(), size_of::<Waker>());
    }
}
