//! [`LoadedClient`]: a client that is ready for callers.

use std::sync::OnceLock;

use super::explanation::explain;
use crate::admin_types::Explanation;
use crate::client::{Client, Execute, FlightControl};
use crate::model::{Call, Sharing};
use crate::observability::metrics::ClientMetrics;
use crate::openapi::paths_of;
use crate::settings::Settings;
use crate::stack::Stack;

/// A decorated component with its settings and metrics.
#[derive(Debug)]
pub struct LoadedClient<E> {
    client: Stack<E>,
    settings: Settings,
    metrics: ClientMetrics,
    openapi: OnceLock<String>,
}

impl<E: Execute> LoadedClient<E> {
    /// Decorates `component` by `settings`. `metrics` counts its callers and flights.
    pub fn new(component: E, settings: Settings, metrics: ClientMetrics) -> Self {
        let client = Stack::new(component, &settings, metrics.clone());
        Self::from_stack(client, settings, metrics)
    }

    /// A client that is decorated already, by `settings`, and counted by `metrics`.
    pub fn from_stack(client: Stack<E>, settings: Settings, metrics: ClientMetrics) -> Self {
        Self {
            client,
            settings,
            metrics,
            openapi: OnceLock::new(),
        }
    }

    /// The decorated component.
    pub fn client(&self) -> &Stack<E> {
        &self.client
    }

    /// The handle on its flights.
    pub fn control(&self) -> &FlightControl {
        self.client.control()
    }

    /// The settings that it was decorated by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The counters of its callers and flights.
    pub fn metrics(&self) -> &ClientMetrics {
        &self.metrics
    }

    /// The paths of its functions in the OpenAPI document: members of a JSON object.
    pub(crate) fn openapi(&self) -> &str {
        let render = || paths_of(self.client.functions(), &self.settings);
        self.openapi.get_or_init(render)
    }

    /// Predicts what would happen to a caller of `call` now.
    pub fn explain(&self, call: &Call) -> Explanation {
        let client = &self.client;
        explain(
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
