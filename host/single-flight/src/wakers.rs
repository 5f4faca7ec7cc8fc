//! The wakers of a flight's callers, each in its own slot, so that a caller joins and leaves in constant
//! time. The first slot needs no allocation: most flights have one caller. Nothing here takes a lock, and
//! only [`Wakers::wake_all`], which consumes the wakers, runs a waker's code.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakers by slot.
///
/// Invariant: a slot is either occupied by one caller or in the list of vacant slots. Slot 0 is `first`,
/// slot `n` is `rest[n - 1]`.
pub(crate) struct Wakers {
    first: Slot,
    /// `None` until there is a second caller, so that moving and dropping the wakers of a flight with one
    /// caller costs almost nothing.
    rest: Option<Box<Rest>>,
    /// The slot that the next caller gets: a vacant one, or else the one after the last.
    next: u32,
}

struct Rest(Vec<Slot>);

/// The size of a waker.
enum Slot {
    Occupied(Waker),
    /// The vacant slot that comes after this one in the list.
    Vacant(u32),
}

impl Wakers {
    /// One waker, in slot 0.
    pub(crate) fn new(first: Waker) -> Self {
        Self {
            first: Slot::Occupied(first),
            rest: None,
            next: 1,
        }
    }

    /// No waker, and no slot in use.
    pub(crate) fn empty() -> Self {
        Self {
            first: Slot::Vacant(1),
            rest: None,
            next: 0,
        }
    }

    /// Adds a waker and returns its slot.
    pub(crate) fn insert(&mut self, waker: Waker) -> u32 {
        let slot = self.next;
        let rest = self.rest.as_ref().map_or(0, |rest| rest.0.len());
        if slot as usize > rest {
            let rest = self.rest.get_or_insert_with(|| Box::new(Rest(Vec::new())));
            rest.0.push(Slot::Occupied(waker));
            self.next = slot + 1;
        } else if let Slot::Vacant(next) = mem::replace(self.at(slot), Slot::Occupied(waker)) {
            self.next = next;
        }
        slot
    }

    /// Vacates a slot. Returns the waker, so that it is dropped where no lock is held.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Waker> {
        let vacant = Slot::Vacant(self.next);
        self.next = slot;
        mem::replace(self.at(slot), vacant).occupant()
    }

    /// The waker in an occupied slot.
    pub(crate) fn get(&mut self, slot: u32) -> Option<&Waker> {
        match self.at(slot) {
            Slot::Occupied(waker) => Some(waker),
            Slot::Vacant(_) => None,
        }
    }

    /// Puts another waker into an occupied slot, and returns the previous one.
    pub(crate) fn replace(&mut self, slot: u32, waker: Waker) -> Option<Waker> {
        mem::replace(self.at(slot), Slot::Occupied(waker)).occupant()
    }

    pub(crate) fn wake_all(self) {
        if let Slot::Occupied(waker) = self.first {
            wake(waker);
        }
        if let Some(rest) = self.rest {
            rest.0.into_iter().filter_map(Slot::occupant).for_each(wake);
        }
    }

    fn at(&mut self, slot: u32) -> &mut Slot {
        match slot {
            0 => &mut self.first,
            _ => {
                let rest = self
                    .rest
                    .as_mut()
                    .expect("a slot other than the first is in use");
                &mut rest.0[slot as usize - 1]
            }
        }
    }
}

impl Slot {
    fn occupant(self) -> Option<Waker> {
        match self {
            Self::Occupied(waker) => Some(waker),
            Self::Vacant(_) => None,
        }
    }
}

/// Wakes, and contains a panic of the waker: the callers after it must be woken all the same.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(test)]
mod tests {
    use super::{Slot, Wakers};
    use std::task::Waker;

    fn insert(wakers: &mut Wakers) -> u32 {
        wakers.insert(Waker::noop().clone())
    }

    #[test]
    fn vacated_slots_are_used_again() {
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

    // contract 22: the memory that a follower costs here.
    #[test]
    fn a_slot_is_as_big_as_a_waker() {
        assert_eq!(size_of::<Slot>(), size_of::<Waker>());
    }
}
