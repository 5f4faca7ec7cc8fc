//! What a [`Group`](crate::Group) is told when it is made: how much it takes on, how old a flight may be
//! that a caller joins, and what becomes of a flight that nobody waits for.

use std::time::Duration;

/// What a [`Group`](crate::Group) takes on, and how it shares.
///
/// No value is an error: the smallest refuse everything, as each field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Flights alive at once, those included that were forgotten or are being cancelled: a flight counts
    /// until its work is dropped. Default 1,024, as each is a task and whatever its work holds. With 0
    /// no flight opens. More than 4,294,967,295 are never alive.
    pub flights: usize,
    /// Callers on one flight at once. Default 100,000, as each is a waker (16 bytes) here and a future
    /// elsewhere, and all of them are woken in one go. With 0 nobody is let on.
    pub callers_per_flight: usize,
    /// Executions of one key alive at once: its open flight, and those that were superseded or are
    /// stopping. `None`, the default, for no bound but [`flights`](Policy::flights). Less than 2 counts
    /// as 2, or a key could not be asked for again before its last execution is gone.
    pub executions_per_key: Option<usize>,
    /// The greatest age of a flight, since it opened, at which a caller still joins it: so old a shared
    /// answer can be, and no older. `None`, the default, for any age. With [`Duration::ZERO`] only
    /// callers of one instant of the clock share.
    pub join_window: Option<Duration>,
    /// What becomes of a flight when its last caller leaves. Default [`Abandoned::Cancel`].
    pub abandoned: Abandoned,
    /// Whether callers of one key share. Default [`SharingMode::Share`].
    pub sharing: SharingMode,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            flights: 1_024,
            callers_per_flight: 100_000,
            executions_per_key: None,
            join_window: None,
            abandoned: Abandoned::Cancel,
            sharing: SharingMode::Share,
        }
    }
}

/// What becomes of a flight when its last caller leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Abandoned {
    /// It is cancelled: its key is free at once, its work is stopped.
    #[default]
    Cancel,
    /// It goes on, open to joiners, and lands for whoever is on it by then, or for nobody.
    Finish,
}

/// Whether callers of one key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SharingMode {
    /// They do.
    #[default]
    Share,
    /// They do not, and are neither refused nor delayed: each call is a flight of its own, no limit
    /// applies, and [`EndedFlight::would_have_joined`](crate::EndedFlight::would_have_joined) says which calls would
    /// have shared. It is an estimate, as sharing would change what happens when.
    Observe,
}
