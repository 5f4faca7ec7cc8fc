//! The words of the table: the questions, the possible observations, and which of them are faults.

use std::fmt;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// The leader is dropped while followers wait. A fault unless they get the value of the execution in flight:
    /// one caller must not cost the others work that is already done.
    LeaderDropped,
    /// The leader is alive and not polled any more. A fault unless followers get the value.
    LeaderHeld,
    /// The work panics. A fault unless every caller gets an error as a value, after one execution.
    Panic,
    /// The work fails. A fault unless every caller gets the error, after one execution.
    Error,
    /// The key is forgotten during a flight. A fault unless a later caller gets a new execution, the callers
    /// before it get the old one, and the new one can still be joined after the old one has landed.
    Forget,
    /// Every caller is dropped. A fault unless the work is dropped too, and no entry is left.
    AllGone,
    /// The work calls its own key, and waits for it. A fault unless that call gets an error.
    OwnKey,
}

impl Question {
    /// In the order of the columns.
    pub(crate) const ALL: [Self; 7] = [
        Self::LeaderDropped,
        Self::LeaderHeld,
        Self::Panic,
        Self::Error,
        Self::Forget,
        Self::AllGone,
        Self::OwnKey,
    ];

    /// The heading of the column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::LeaderDropped => "leader dropped",
            Self::LeaderHeld => "leader never polled again",
            Self::Panic => "the work panics",
            Self::Error => "the work fails",
            Self::Forget => "forget in flight",
            Self::AllGone => "all callers dropped",
            Self::OwnKey => "the work calls its own key",
        }
    }
}

/// What a peer does. If the process survives a panic or an error, the key works again: a later caller gets a new
/// execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observation {
    /// Followers get the value of the execution in flight.
    FirstAnswer,
    /// The execution is dropped with the leader, and a follower starts another.
    StartedOver,
    /// Followers get the value.
    FollowersAnswered,
    /// Nothing is left to run, and followers wait until the leader is polled again.
    FollowersHang,
    /// Every caller gets an error.
    ErrorToAll,
    /// The panic is raised in every caller's future.
    PanicsInAll,
    /// The panic is raised in the leader's future, and each follower in turn runs the work again.
    PanicsAndReruns,
    /// The panic is raised where nothing can catch it.
    KillsProcess,
    /// All callers get the error of one execution.
    OneError,
    /// Each caller in turn runs the work again.
    Reruns,
    /// The later caller gets a new execution, which can still be joined after the old one has landed.
    Apart,
    /// The later caller gets a new execution, which the landing of the old one removes.
    Evicted,
    /// No operation of the peer keeps a later caller from joining.
    NotOffered,
    /// The work is dropped, and nothing is left.
    Stopped,
    /// The work is dropped, and memory is left for every key.
    StoppedEntryLeft,
    /// The work is neither polled nor dropped, and a later caller joins it.
    Abandoned,
    /// The work runs to its end.
    RunsOn,
    /// The inner call gets an error, and the outer one its value.
    ErrorOnCycle,
    /// Nothing is left to run, and both calls wait.
    Hangs,
}

/// Whether an observation is what a caller wants of a single flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Fault,
}

impl Observation {
    /// The verdict by the criteria of [`Question`].
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::FirstAnswer
            | Self::FollowersAnswered
            | Self::ErrorToAll
            | Self::OneError
            | Self::Apart
            | Self::Stopped
            | Self::ErrorOnCycle => Verdict::Good,
            _ => Verdict::Fault,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::FirstAnswer => "first answer stays",
            Self::StartedOver => "starts over",
            Self::FollowersAnswered => "followers answered",
            Self::FollowersHang => "followers hang",
            Self::ErrorToAll => "error to all",
            Self::PanicsInAll => "panics in all",
            Self::PanicsAndReruns => "panics, each reruns",
            Self::KillsProcess => "kills the process",
            Self::OneError => "one error for all",
            Self::Reruns => "each reruns",
            Self::Apart => "new one, kept apart",
            Self::Evicted => "old evicts new",
            Self::NotOffered => "not offered",
            Self::Stopped => "stopped, no entry left",
            Self::StoppedEntryLeft => "stopped, entry left",
            Self::Abandoned => "stays half done",
            Self::RunsOn => "runs on",
            Self::ErrorOnCycle => "gets an error",
            Self::Hangs => "hangs forever",
        }
    }
}

/// As in a cell of the table.
impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict() {
            Verdict::Good => '✓',
            Verdict::Fault => '✗',
        };
        write!(f, "{mark} {}", self.words())
    }
}
