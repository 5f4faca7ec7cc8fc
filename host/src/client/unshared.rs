//! [`Unshared`]: every caller has an execution of its own.

use super::{Client, Execute, Reply, Request};
use crate::flight_context::FlightContext;
use crate::model::{Generation, Usage};

/// Executes each call separately, without a table of flights, for comparison with
/// [`WithSingleFlight`](super::WithSingleFlight).
#[derive(Clone, Debug)]
pub struct Unshared<E>(E);

impl<E> Unshared<E> {
    /// Calls `execute` once per caller.
    pub fn new(execute: E) -> Self {
        Self(execute)
    }
}

impl<E: Execute> Client for Unshared<E> {
    fn generation(&self) -> Generation {
        self.0.generation()
    }

    fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future ends the execution.
    async fn call(&self, request: Request) -> Reply {
        let context = FlightContext::default();
        self.0.execute(request.call, &context).await.into()
    }
}
