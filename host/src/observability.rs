//! What a service reports of its work: metrics, observations of duplicate calls, and trace context. The layers above
//! report to these modules, which import none of them.

pub mod metrics;
pub mod monitoring;
pub mod observation;
pub(crate) mod trace;
