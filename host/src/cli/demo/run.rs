//! [`DemoRun`]: one of the demo's four runs, as `--json` prints it.

use serde::Serialize;

use super::recorder::TimelineSpan;

/// The same call by a number of callers at the same time.
#[derive(Debug, Serialize)]
pub(super) struct DemoRun {
    #[serde(rename = "way")]
    pub(super) mode: Mode,
    pub(super) callers: usize,
    pub(super) guest_calls: usize,
    pub(super) upstream_requests: u64,
    pub(super) milliseconds: f64,
    /// When each caller, guest call and upstream request began and ended.
    #[serde(rename = "timeline")]
    pub(super) spans: Vec<TimelineSpan>,
}

/// Whether callers share flights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    /// Every caller calls the component.
    StraightThrough,
    /// The same component, decorated.
    SingleFlight,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StraightThrough => "without sharing",
            Self::SingleFlight => "single flight",
        }
    }
}
