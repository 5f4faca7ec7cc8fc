//! [`Stack`]: a component with every decorator around it, composed in one place.

mod typed_call;

use std::sync::Arc;

pub use self::typed_call::TypedCallError;

use crate::client::{
    Client, Execute, FlightControl, Reply, Request, WithLimits, WithSingleFlight, WithTelemetry,
    WithUnreadLimit,
};
use crate::model::{Functions, Generation, Usage};
use crate::observability::metrics::ClientMetrics;
use crate::settings::Settings;

/// A component with every decorator around it. Clones share one table.
#[derive(Debug)]
pub struct Stack<E> {
    client: WithTelemetry<WithUnreadLimit<WithSingleFlight<WithLimits<E>>>>,
    control: FlightControl,
    functions: Arc<Functions>,
}

impl<E> Clone for Stack<E> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            control: self.control.clone(),
            functions: Arc::clone(&self.functions),
        }
    }
}

impl<E: Execute> Stack<E> {
    /// Decorates `component` as `settings` say, with a separate table. `metrics` counts callers and flights;
    /// [`ClientMetrics::default`] counts nothing.
    pub fn new(component: E, settings: &Settings, metrics: ClientMetrics) -> Self {
        let Settings {
            name,
            sharing,
            abandoned,
            limits,
            ..
        } = settings;
        let functions = component.functions();
        // Innermost: a flight takes a permit, its callers do not. A follower that needed one would wait
        // for the very flight that it could have joined.
        let limited = WithLimits::new(component, limits);
        // All callers of a key become one flight here.
        let shared =
            WithSingleFlight::new(limited, name, *sharing, *abandoned, limits, metrics.clone());
        let control = shared.control();
        // Each caller's connection limits what is held for it. Outside, so that no flight is opened without room for its
        // answer.
        let limited = WithUnreadLimit::new(shared, limits);
        // Outermost: counts every caller, including those that share a flight or are refused one.
        let client = WithTelemetry::new(limited, name, metrics);
        Self {
            client,
            control,
            functions,
        }
    }

    /// What callers can call.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// A handle on the flights of this client.
    pub fn control(&self) -> &FlightControl {
        &self.control
    }
}

impl<E: Execute> Client for Stack<E> {
    fn generation(&self) -> Generation {
        self.client.generation()
    }

    fn usage(&self) -> Usage {
        self.client.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight, as that of [`WithSingleFlight`] does.
    fn call(&self, request: Request) -> impl Future<Output = Reply> + Send {
        self.client.call(request)
    }
}
