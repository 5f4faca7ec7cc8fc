//! [`FetchBuffers`]: what the host holds of a guest's `fetch`.

use std::sync::{Arc, Weak};

use super::response;
use crate::component::contract::fetch::FetchResponse;

/// What the host holds of a guest's `fetch`, in bytes. There is one at a time: the guest waits for it.
#[derive(Debug, Default)]
pub(in crate::component) enum FetchBuffers {
    /// Nothing.
    #[default]
    Empty,
    /// The request, and as much of its response as has arrived.
    Open(usize),
    /// The response, for as long as the host has it. The guest gets a copy after the host's function has returned, and
    /// may take its time: its own code allocates the memory for it.
    Returned(Weak<FetchResponse>, usize),
}

impl FetchBuffers {
    /// Of a fetch for which the host holds `bytes`.
    pub(super) fn open(bytes: usize) -> Self {
        Self::Open(bytes)
    }

    /// Of a fetch whose `response` is about to be copied to the guest.
    pub(super) fn returned(response: &Arc<FetchResponse>) -> Self {
        let bytes = response::size(response);
        Self::Returned(Arc::downgrade(response), bytes)
    }

    /// The bytes that the host holds.
    pub(in crate::component) fn held(&self) -> usize {
        match self {
            Self::Open(bytes) => *bytes,
            Self::Returned(_, bytes) if !self.is_released() => *bytes,
            Self::Empty | Self::Returned(..) => 0,
        }
    }

    /// Whether the host has held a response that it no longer holds.
    fn is_released(&self) -> bool {
        matches!(self, Self::Returned(response, _) if response.strong_count() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::contract::fetch::FetchBody;

    #[test]
    fn a_response_is_held_until_the_guest_has_its_copy() {
        let response = Arc::new(FetchResponse {
            status: 200,
            headers: Vec::new(),
            body: FetchBody::Text("12345".to_owned()),
        });
        let buffers = FetchBuffers::returned(&response);
        assert!(buffers.held() >= 5 && !buffers.is_released());
        drop(response);
        assert!(buffers.held() == 0 && buffers.is_released());
        assert_eq!(FetchBuffers::open(7).held(), 7);
    }
}
