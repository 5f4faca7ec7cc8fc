//! The participants of a measurement, chosen at run time, and how a measurement runs with one of them.

use harness::turns;

use crate::coalescer::Coalescer;
use crate::contestants::floors::{ParkedList, SpawnAndJoin, SpawnAndSend};
use crate::contestants::{Moka, OnceCells, Ours, QuickCache, Shared, SharedTask};
use crate::go::Go;

/// One of [`contestants`](crate::contestants), as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// [`Ours`].
    Ours,
    /// [`Moka`].
    Moka,
    /// [`QuickCache`].
    QuickCache,
    /// [`OnceCells`].
    OnceCells,
    /// [`Shared`].
    Shared,
    /// [`SharedTask`].
    SharedTask,
    /// [`SpawnAndJoin`].
    SpawnAndJoin,
    /// [`SpawnAndSend`].
    SpawnAndSend,
    /// [`ParkedList`].
    ParkedList,
}

/// A participant: a contestant in this process, or the Go program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrant {
    /// Measured here.
    Rust(Contestant),
    /// Measured by [`Go`].
    Go,
}

/// An entrant with its turn.
pub type Participant<'a, S> = turns::Participant<'a, S, Entrant>;

/// The samples of all entrants, round by round.
pub type Rounds<S> = turns::Rounds<S, Entrant>;

/// A measurement that runs with any contestant.
pub trait Measure {
    /// The result of one turn.
    type Sample;

    /// Takes one turn with a new `C`.
    fn measure<C: Coalescer>(&self) -> Self::Sample;
}

impl Contestant {
    /// The contestants that share executions, ours first.
    pub const COALESCERS: [Self; 6] = [
        Self::Ours,
        Self::Moka,
        Self::QuickCache,
        Self::OnceCells,
        Self::Shared,
        Self::SharedTask,
    ];

    /// The floors of a call whose work runs in a separate task.
    pub const CALL_FLOORS: [Self; 2] = [Self::SpawnAndJoin, Self::SpawnAndSend];

    /// The coalescers, and then `floors`.
    pub fn with(floors: &[Self]) -> Vec<Self> {
        [&Self::COALESCERS, floors].concat()
    }

    /// The contestant of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            &Self::COALESCERS[..],
            &Self::CALL_FLOORS,
            &[Self::ParkedList],
        ]
        .concat();
        all.into_iter().find(|contestant| contestant.name() == name)
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        struct Name;
        impl Measure for Name {
            type Sample = &'static str;
            fn measure<C: Coalescer>(&self) -> &'static str {
                C::NAME
            }
        }
        self.take(&Name)
    }

    /// Takes one turn.
    pub fn take<M: Measure>(self, turn: &M) -> M::Sample {
        match self {
            Self::Ours => turn.measure::<Ours>(),
            Self::Moka => turn.measure::<Moka>(),
            Self::QuickCache => turn.measure::<QuickCache>(),
            Self::OnceCells => turn.measure::<OnceCells>(),
            Self::Shared => turn.measure::<Shared>(),
            Self::SharedTask => turn.measure::<SharedTask>(),
            Self::SpawnAndJoin => turn.measure::<SpawnAndJoin>(),
            Self::SpawnAndSend => turn.measure::<SpawnAndSend>(),
            Self::ParkedList => turn.measure::<ParkedList>(),
        }
    }
}

impl Entrant {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust(contestant) => contestant.name(),
            Self::Go => Go::NAME,
        }
    }
}

impl From<Contestant> for Entrant {
    fn from(contestant: Contestant) -> Self {
        Self::Rust(contestant)
    }
}

/// A participant for each of these contestants.
pub fn each<'a, M: Measure>(
    contestants: &[Contestant],
    measure: &'a M,
) -> Vec<Participant<'a, M::Sample>> {
    let participant = |&contestant: &Contestant| Participant {
        id: contestant.into(),
        turn: Box::new(move || Ok(contestant.take(measure))),
    };
    contestants.iter().map(participant).collect()
}

/// A participant for the Go program, if there is one; `turn` takes one turn with it.
pub fn go<'a, S>(
    go: Option<&'a Go>,
    turn: impl Fn(&Go) -> anyhow::Result<S> + 'a,
) -> Option<Participant<'a, S>> {
    go.map(|go| Participant {
        id: Entrant::Go,
        turn: Box::new(move || turn(go)),
    })
}
