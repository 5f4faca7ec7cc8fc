//! Who takes part in a measurement, chosen at run time, and how a measurement is run with one of them.

use harness::turns;

use crate::contestants::floors::{ParkedList, SpawnAndJoin, SpawnAndSend};
use crate::contestants::{Coalescer, Moka, OnceCells, Ours, QuickCache, Shared, SharedTask};
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

/// Who takes a turn: a contestant of this process, or the Go program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrant {
    /// Measured here.
    Rust(Contestant),
    /// Measured by [`Go`].
    Go,
}

/// An entrant, and what it does in its turn.
pub type Entry<'a, S> = turns::Entry<'a, S, Entrant>;

/// What entrants came to, round by round.
pub type Rounds<S> = turns::Rounds<S, Entrant>;

/// A measurement that any contestant can take.
pub trait Measure {
    /// What comes of one turn.
    type Sample;

    /// Takes one turn with a new `C`.
    fn measure<C: Coalescer>(&self) -> Self::Sample;
}

impl Contestant {
    /// All that share executions, ours first.
    pub const COALESCERS: [Self; 6] = [
        Self::Ours,
        Self::Moka,
        Self::QuickCache,
        Self::OnceCells,
        Self::Shared,
        Self::SharedTask,
    ];

    /// What a call whose work has a task of its own cannot go below.
    pub const CALL_FLOORS: [Self; 2] = [Self::SpawnAndJoin, Self::SpawnAndSend];

    /// The coalescers, and then `floors`.
    pub fn with(floors: &[Self]) -> Vec<Self> {
        [&Self::COALESCERS, floors].concat()
    }

    /// The contestant that is called so.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            &Self::COALESCERS[..],
            &Self::CALL_FLOORS,
            &[Self::ParkedList],
        ]
        .concat();
        all.into_iter().find(|contestant| contestant.name() == name)
    }

    /// What it is called in a table.
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
    /// What it is called in a table.
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

/// These contestants with this measurement.
pub fn each<'a, M: Measure>(
    contestants: &[Contestant],
    measure: &'a M,
) -> Vec<Entry<'a, M::Sample>> {
    let entry = |&contestant: &Contestant| Entry {
        entrant: contestant.into(),
        turn: Box::new(move || Ok(contestant.take(measure))),
    };
    contestants.iter().map(entry).collect()
}

/// Go, where it is there, with what it is asked in its turn.
pub fn go<'a, S>(
    go: Option<&'a Go>,
    ask: impl Fn(&Go) -> anyhow::Result<S> + 'a,
) -> Option<Entry<'a, S>> {
    go.map(|go| Entry {
        entrant: Entrant::Go,
        turn: Box::new(move || ask(go)),
    })
}
