//! The two traits [`Client`] and [`Execute`], and one decorator per file.
//!
//! [`Client`] is called once per caller. [`Execute`] is called once per flight, with the flight's [`FlightContext`].
//! [`WithSingleFlight`] implements `Client` around an `Execute`. Nothing here knows Wasm or HTTP.

mod comparison;
mod control;
mod flight;
mod limits;
mod single_flight;
mod telemetry;
mod unread;
mod unshared;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::flight_context::FlightContext;
use crate::model::{
    Call, ClientError, FlightInfo, Functions, Generation, Outcome, RequestId, Usage,
};
use crate::unread::ConnectionBudget;

pub use self::control::FlightControl;
pub use self::limits::WithLimits;
pub use self::single_flight::WithSingleFlight;
pub use self::telemetry::WithTelemetry;
pub use self::unread::WithUnreadLimit;
pub use self::unshared::Unshared;

/// Answers callers: a component with decorators around it.
///
/// [`call`](Client::call) is called once per caller, from any number of tasks concurrently.
///
/// # Requirements
///
/// - Nothing but the call says what is requested: two callers with equal calls may share one outcome.
/// - Dropping the future is the only way to cancel. It ends what this caller alone started.
/// - A decorator calls `next` at most once per call: nothing here retries or caches.
/// - An outcome is shared between callers: it is immutable, and cloning it is cheap.
pub trait Client: Send + Sync + 'static {
    /// Identifies the load of the component that answers. It is constant for a client; a decorator returns that of
    /// its `next`.
    fn generation(&self) -> Generation;

    /// What the client uses now, and has used so far.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Answers one caller.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the call. Other callers of its flight keep the flight.
    fn call(&self, request: Request) -> impl Future<Output = Reply> + Send;
}

/// Executes calls: a component, or a decorator around one.
///
/// [`execute`](Execute::execute) is called once per flight, in the flight's own task.
///
/// # Requirements
///
/// - Nothing but the call reaches the guest.
/// - Dropping the future must immediately end everything that it started.
/// - What an execution does to the flight's context is recorded before it returns.
pub trait Execute: Send + Sync + 'static {
    /// Identifies this load of the component. It is constant for a value.
    fn generation(&self) -> Generation;

    /// What callers can call. It is constant for a value.
    fn functions(&self) -> Arc<Functions> {
        Arc::new(Functions::only_items())
    }

    /// What it uses now, and has used so far.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Executes `call` once, as the flight that `context` belongs to.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the execution and its outbound requests.
    fn execute(
        &self,
        call: Call,
        context: &FlightContext,
    ) -> impl Future<Output = Result<Outcome, ClientError>> + Send;
}

/// What one caller requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The function and its arguments.
    pub call: Call,
    /// Which flights may answer.
    pub freshness: Freshness,
    /// The id of the request, for logs and traces.
    pub id: Option<RequestId>,
    /// The caller's address, for the log.
    pub caller: Option<IpAddr>,
    /// The budget of the connection that the answer is sent on. Without one, nothing limits what is held.
    pub connection: Option<Arc<ConnectionBudget>>,
}

/// Which flights may answer a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// Any that is open, or a new one if none is.
    #[default]
    Any,
    /// None that was opened before this call: a new flight takes the place of the open one, which lands for the callers
    /// that it has. It is what HTTP's `Cache-Control: no-cache` requests (RFC 9111, section 5.2.1.4).
    New,
}

/// Any flight may answer.
impl<T: Into<Call>> From<T> for Request {
    fn from(call: T) -> Self {
        Self {
            call: call.into(),
            freshness: Freshness::Any,
            id: None,
            caller: None,
            connection: None,
        }
    }
}

/// What one caller gets.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The outcome, or why there is none.
    pub result: Result<Outcome, ClientError>,
    /// The caller's part in the flight that answered; `None` if none did, because the caller was refused,
    /// the flight was cancelled, or nothing shares calls.
    pub flight: Option<FlightInfo>,
    /// The outcome as JSON, if the request has the budget of a connection: it counts there until it is dropped.
    pub json: Option<Bytes>,
}

impl From<Result<Outcome, ClientError>> for Reply {
    fn from(result: Result<Outcome, ClientError>) -> Self {
        Self {
            result,
            flight: None,
            json: None,
        }
    }
}
