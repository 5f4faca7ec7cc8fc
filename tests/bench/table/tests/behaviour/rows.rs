//! What every peer was seen to do, and why. A peer that does anything else in a new version fails its
//! test, for better or worse.

use bench_table::contestants::{Coalescer, Moka, OnceCells, Ours, QuickCache, Shared, SharedTask};

use crate::seen::Seen::{
    Abandoned, Answered, Apart, FirstAnswer, FollowersHang, Hangs, KillsProcess, NotOffered,
    OneError, PanicsAndReruns, PanicsInAll, Reruns, RunsOn, StartedOver, Stopped, StoppedWithRest,
    ToldOfCircle, ToldOfPanic,
};
use crate::seen::{Question, Seen};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What the peer is called.
    pub(crate) name: &'static str,
    /// The package that decides what it does, whose version is named with it.
    pub(crate) package: Option<&'static str>,
    /// In the order of [`Question::ALL`].
    pub(crate) seen: [Seen; Question::ALL.len()],
}

/// In the order of the table.
pub(crate) const ALL: [&Row; 7] = [
    &OURS,
    &MOKA,
    &QUICK_CACHE,
    &ONCE_CELLS,
    &SHARED,
    &SHARED_TASK,
    &GO,
];

pub(crate) const OURS: Row = Row {
    name: Ours::NAME,
    package: None,
    seen: [
        FirstAnswer,
        Answered,
        ToldOfPanic,
        OneError,
        Apart,
        Stopped,
        ToldOfCircle,
    ],
};

/// The leader's future holds the work and a write lock that followers wait for. An error is put where
/// they find it. A panic and a drop are put there as well, and on either they begin again.
pub(crate) const MOKA: Row = Row {
    name: Moka::NAME,
    package: Some("moka"),
    seen: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        OneError,
        NotOffered,
        Stopped,
        Hangs,
    ],
};

/// The leader's future holds the work and a guard. A guard that is dropped with no value in it, for
/// whatever reason, goes to one of those who wait.
pub(crate) const QUICK_CACHE: Row = Row {
    name: QuickCache::NAME,
    package: Some("quick_cache"),
    seen: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        Reruns,
        Apart,
        Stopped,
        Hangs,
    ],
};

/// The leader's future holds the work and the cell's permit, which goes to one of those who wait when it
/// is dropped. Nobody takes the cell out of the map but who has filled it.
pub(crate) const ONCE_CELLS: Row = Row {
    name: OnceCells::NAME,
    package: Some("tokio"),
    seen: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        Reruns,
        Apart,
        StoppedWithRest,
        Hangs,
    ],
};

/// The map holds the work, and whoever is polled drives it. With nobody left to be polled it stays as
/// it is.
pub(crate) const SHARED: Row = Row {
    name: Shared::NAME,
    package: Some("futures-util"),
    seen: [
        FirstAnswer,
        Answered,
        PanicsInAll,
        OneError,
        Apart,
        Abandoned,
        Hangs,
    ],
};

/// The runtime holds the work, and nobody tells it that the callers are gone.
pub(crate) const SHARED_TASK: Row = Row {
    name: SharedTask::NAME,
    package: Some("futures-util"),
    seen: [
        FirstAnswer,
        Answered,
        ToldOfPanic,
        OneError,
        Apart,
        RunsOn,
        Hangs,
    ],
};

/// By `DoChan`, which a caller can leave. The work has a goroutine of its own, which nobody can stop and
/// whose panic nobody can recover.
pub(crate) const GO: Row = Row {
    name: "Go singleflight",
    package: None,
    seen: [
        FirstAnswer,
        Answered,
        KillsProcess,
        OneError,
        Apart,
        RunsOn,
        Hangs,
    ],
};
