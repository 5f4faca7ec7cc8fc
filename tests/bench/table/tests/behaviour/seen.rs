//! The words of the table: what is asked of every peer, what can be seen, and which of that is a fault.

use std::fmt;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// The leader is dropped while followers wait. A fault unless they get the answer of the execution
    /// that was under way: what one caller does must not cost the others what was done for them.
    LeaderDropped,
    /// The leader is alive and not polled any more. A fault unless followers get the answer.
    LeaderHeld,
    /// The work panics. A fault unless every caller gets an error as a value, after one execution.
    Panic,
    /// The work fails. A fault unless every caller gets the error, after one execution.
    Error,
    /// The key is forgotten during a flight. A fault unless a newcomer gets an execution of its own,
    /// those before it get theirs, and the landing of the old one leaves the new one to be joined.
    Forget,
    /// Every caller is dropped. A fault unless the work is dropped too, and nothing is left of the key.
    AllGone,
    /// The work asks for its own key, and waits. A fault unless it is told so.
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

    /// The head of the column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::LeaderDropped => "leader dropped",
            Self::LeaderHeld => "leader held unpolled",
            Self::Panic => "the work panics",
            Self::Error => "the work fails",
            Self::Forget => "forget in flight",
            Self::AllGone => "all callers gone",
            Self::OwnKey => "asks for its own key",
        }
    }
}

/// What a peer was seen to do. Where the process outlives a panic or an error, the key works again: a
/// newcomer gets an execution of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Followers get the answer of the execution that was under way.
    FirstAnswer,
    /// The execution is dropped with the leader, and a follower begins another.
    StartedOver,
    /// Followers get the answer.
    Answered,
    /// Nothing is left to run, and followers wait until the leader is polled again.
    FollowersHang,
    /// Every caller gets an error that says so.
    ToldOfPanic,
    /// The panic comes out of every caller's future.
    PanicsInAll,
    /// The panic comes out of the leader's future, and each follower in turn runs the work again.
    PanicsAndReruns,
    /// The panic is raised where nothing can catch it.
    KillsProcess,
    /// All callers get the error of one execution.
    OneError,
    /// Each caller in turn runs the work again.
    Reruns,
    /// The newcomer gets an execution of its own, and is joined on it after the old one has landed.
    Apart,
    /// The newcomer gets an execution of its own, which the old one's landing takes out of the table.
    Evicted,
    /// Nothing the peer offers keeps a newcomer from joining.
    NotOffered,
    /// The work is dropped, and nothing is left.
    Stopped,
    /// The work is dropped, and memory is left for every key.
    StoppedWithRest,
    /// The work is neither polled nor dropped, and a newcomer joins it.
    Abandoned,
    /// The work goes on to its end.
    RunsOn,
    /// The inner call gets an error, and the outer one its answer.
    ToldOfCircle,
    /// Nothing is left to run, and both calls wait.
    Hangs,
}

/// Whether a peer does what one wants of a single flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Fault,
}

impl Seen {
    /// By the criteria of the [`Question`]s.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::FirstAnswer
            | Self::Answered
            | Self::ToldOfPanic
            | Self::OneError
            | Self::Apart
            | Self::Stopped
            | Self::ToldOfCircle => Verdict::Good,
            _ => Verdict::Fault,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::FirstAnswer => "first answer stands",
            Self::StartedOver => "starts over",
            Self::Answered => "followers answered",
            Self::FollowersHang => "followers hang",
            Self::ToldOfPanic => "error to all",
            Self::PanicsInAll => "panics in all",
            Self::PanicsAndReruns => "panics, each reruns",
            Self::KillsProcess => "kills the process",
            Self::OneError => "one for all",
            Self::Reruns => "each reruns",
            Self::Apart => "fresh, kept apart",
            Self::Evicted => "old evicts new",
            Self::NotOffered => "not offered",
            Self::Stopped => "stopped, nothing left",
            Self::StoppedWithRest => "stopped, entry left",
            Self::Abandoned => "left half done",
            Self::RunsOn => "runs on",
            Self::ToldOfCircle => "told so",
            Self::Hangs => "hangs for ever",
        }
    }
}

/// As it stands in a cell.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict() {
            Verdict::Good => '✓',
            Verdict::Fault => '✗',
        };
        write!(f, "{mark} {}", self.words())
    }
}
