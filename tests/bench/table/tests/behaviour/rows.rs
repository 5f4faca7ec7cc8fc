//! The expected behaviour of every peer, and its reason. A peer that behaves differently in a new version, better
//! or worse, fails its test.

use bench_table::coalescer::Coalescer;
use bench_table::contestants::{Moka, OnceCells, Ours, QuickCache, Shared, SharedTask};

use crate::observation::Observation::{
    Abandoned, Apart, ErrorOnCycle, ErrorToAll, FirstAnswer, FollowersAnswered, FollowersHang,
    Hangs, KillsProcess, NotOffered, OneError, PanicsAndReruns, PanicsInAll, Reruns, RunsOn,
    StartedOver, Stopped, StoppedEntryLeft,
};
use crate::observation::{Observation, Question};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name of the peer.
    pub(crate) name: &'static str,
    /// The package that determines its behaviour, whose version is shown.
    pub(crate) package: Option<&'static str>,
    /// In the order of [`Question::ALL`].
    pub(crate) observations: [Observation; Question::ALL.len()],
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
    observations: [
        FirstAnswer,
        FollowersAnswered,
        ErrorToAll,
        OneError,
        Apart,
        Stopped,
        ErrorOnCycle,
    ],
};

/// The leader's future holds the work and a write lock that followers wait for. An error is stored where they
/// find it. A panic and a drop are stored too, and on either the followers start over.
pub(crate) const MOKA: Row = Row {
    name: Moka::NAME,
    package: Some("moka"),
    observations: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        OneError,
        NotOffered,
        Stopped,
        Hangs,
    ],
};

/// The leader's future holds the work and a guard. A guard that is dropped without a value, for any reason, is
/// passed to one of the callers that wait.
pub(crate) const QUICK_CACHE: Row = Row {
    name: QuickCache::NAME,
    package: Some("quick_cache"),
    observations: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        Reruns,
        Apart,
        Stopped,
        Hangs,
    ],
};

/// The leader's future holds the work and the cell's permit, which is passed to one of the callers that wait when
/// it is dropped. Only the caller that fills the cell removes it from the map.
pub(crate) const ONCE_CELLS: Row = Row {
    name: OnceCells::NAME,
    package: Some("tokio"),
    observations: [
        StartedOver,
        FollowersHang,
        PanicsAndReruns,
        Reruns,
        Apart,
        StoppedEntryLeft,
        Hangs,
    ],
};

/// The map holds the work, and any caller that is polled drives it. When no caller is left to poll it, it stays
/// as it is.
pub(crate) const SHARED: Row = Row {
    name: Shared::NAME,
    package: Some("futures-util"),
    observations: [
        FirstAnswer,
        FollowersAnswered,
        PanicsInAll,
        OneError,
        Apart,
        Abandoned,
        Hangs,
    ],
};

/// The runtime holds the work, and nothing cancels it when the callers are dropped.
pub(crate) const SHARED_TASK: Row = Row {
    name: SharedTask::NAME,
    package: Some("futures-util"),
    observations: [
        FirstAnswer,
        FollowersAnswered,
        ErrorToAll,
        OneError,
        Apart,
        RunsOn,
        Hangs,
    ],
};

/// With `DoChan`, which a caller can leave. The work has a separate goroutine, which cannot be stopped and whose
/// panic cannot be recovered.
pub(crate) const GO: Row = Row {
    name: "Go singleflight",
    package: None,
    observations: [
        FirstAnswer,
        FollowersAnswered,
        KillsProcess,
        OneError,
        Apart,
        RunsOn,
        Hangs,
    ],
};
