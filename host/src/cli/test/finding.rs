//! [`Finding`]: what one situation has shown about a client.

use serde::Serialize;

/// What a finding means for the client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// The client does what the contract expects.
    Pass,
    /// The client is safe, and could do better.
    Advice,
    /// The client does something wrong: to its callers, its upstream or its host.
    Fail,
}

/// What a situation has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// What the client did.
    pub(super) found: String,
    /// What to change; empty if nothing.
    pub(super) change: String,
}

impl Judgement {
    pub(super) fn pass(found: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Pass,
            found: found.into(),
            change: String::new(),
        }
    }

    pub(super) fn advice(found: impl Into<String>, change: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Advice,
            found: found.into(),
            change: change.into(),
        }
    }

    pub(super) fn fail(found: impl Into<String>, change: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            found: found.into(),
            change: change.into(),
        }
    }
}

/// What one situation has shown, as it is reported.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// The stable name of the situation, for machines.
    pub(super) id: &'static str,
    /// What the situation is.
    pub(super) title: &'static str,
    pub(super) verdict: Verdict,
    /// What the client did.
    pub(super) found: String,
    /// What a caller gets: `ok`, or the code of the error.
    pub(super) code: &'static str,
    /// The message of that error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    /// What to change.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) change: String,
    /// What the host logged meanwhile, if there is something to change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) log: Vec<String>,
    /// How long it took.
    pub(super) seconds: f64,
}
