//! What a service reports of its work: metrics, observations of duplicate calls, and trace context. Each is fed by
//! the layers above and knows none of them.

pub mod metrics;
pub mod observation;
pub(crate) mod trace;
