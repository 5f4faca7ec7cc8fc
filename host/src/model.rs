//! The types that all modules of the host share: a [`Call`] and its [`Outcome`] or [`ClientError`], the
//! [`Limits`] of a client, and what is recorded of a flight.
//!
//! It imports no other module of this crate but [`typed`](crate::typed), and contains nothing of Wasm, HTTP or files.

mod call;
mod error;
mod flight;
mod function;
mod functions;
mod generation;
mod items;
mod limits;
mod outcome;
mod request_id;
pub mod setting;
mod share_pattern;
mod sharing;
pub mod units;
mod usage;

pub use single_flight::{Abandoned, FlightId, FlightSnapshot, Role};

pub use self::call::Call;
pub use self::error::{ClientError, FunctionError, Limit, Resource};
pub use self::flight::{FlightCost, FlightInfo, FlightRecord};
pub use self::function::{CallSharing, Function, TypedFunction};
pub use self::functions::{Functions, NamedCallError, UnknownFunction};
pub use self::generation::Generation;
pub use self::items::{Item, Items, MalformedItems};
pub use self::limits::Limits;
pub use self::outcome::{Outcome, RenderedValue};
pub use self::request_id::RequestId;
pub use self::share_pattern::{NoPattern, SharePattern};
pub use self::sharing::Sharing;
pub use self::usage::Usage;

pub(crate) use self::error::to_raise;
pub(crate) use self::limits::MAX_CONNECTIONS;
pub(crate) use self::setting::limits;
