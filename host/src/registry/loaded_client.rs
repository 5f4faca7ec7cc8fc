//! [`LoadedClient`]: a client that callers can be answered by.

use super::explanation::Explanation;
use crate::client::{Client, Execute, FlightControl};
use crate::model::{Call, Sharing};
use crate::observability::metrics::ClientMetrics;
use crate::settings::Settings;
use crate::stack::Stack;

/// A decorated component with its settings and metrics.
#[derive(Debug)]
pub struct LoadedClient<E> {
    client: Stack<E>,
    settings: Settings,
    metrics: ClientMetrics,
}

impl<E: Execute> LoadedClient<E> {
    /// Decorates `component` as `settings` say. `metrics` counts its callers and flights.
    pub fn new(component: E, settings: Settings, metrics: ClientMetrics) -> Self {
        let client = Stack::new(component, &settings, metrics.clone());
        Self::from_stack(client, settings, metrics)
    }

    /// A client that is decorated already, as `settings` say, and counted by `metrics`.
    pub fn from_stack(client: Stack<E>, settings: Settings, metrics: ClientMetrics) -> Self {
        Self {
            client,
            settings,
            metrics,
        }
    }

    /// What callers call.
    pub fn client(&self) -> &Stack<E> {
        &self.client
    }

    /// The handle on its flights.
    pub fn control(&self) -> &FlightControl {
        self.client.control()
    }

    /// What it was decorated with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What counts its callers and flights.
    pub fn metrics(&self) -> &ClientMetrics {
        &self.metrics
    }

    /// What would happen to a caller that requested `call` now, and why.
    pub fn explain(&self, call: &Call) -> Explanation {
        let client = &self.client;
        Explanation::new(
            call,
            &self.settings,
            client.control(),
            client.generation(),
            client.usage(),
        )
    }

    /// Whether a caller may request a fresh flight.
    pub fn allows_fresh(&self) -> bool {
        matches!(
            self.settings.sharing,
            Sharing::Coalesced {
                allow_fresh: true,
                ..
            }
        )
    }
}
