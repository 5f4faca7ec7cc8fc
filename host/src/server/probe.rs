//! The probes, the same on both listeners: `/livez` succeeds while the process responds, `/readyz` while callers
//! should be sent to it.

use http::{Response, StatusCode};

use super::body::Body;
use super::response::text;
use crate::client::Execute;
use crate::registry::ClientRegistry;

#[derive(Clone, Copy)]
pub(super) enum Probe {
    Live,
    Ready,
}

impl Probe {
    /// The probe at this path, if there is one.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            _ => None,
        }
    }

    pub(super) fn respond<C: Execute>(self, clients: &ClientRegistry<C>) -> Response<Body> {
        match self {
            Self::Ready if !clients.is_ready() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
            Self::Live | Self::Ready => text(StatusCode::OK, "ok\n"),
        }
    }
}
