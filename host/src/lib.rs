//! Runs your client as a WebAssembly component, and makes callers that request the same thing at the same time share
//! one call.
//!
//! Load a component, decorate it, and pass it to two fetchers:
//!
//! ```
//! use oneflight::{BUILTIN, Client, ClientMetrics, ComponentClient, Engine, Settings, Stack};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let settings = Settings::new("orders")
//!     .env("BASE_URL", "http://localhost:9/orders?customer={x}")
//!     .allow("http://localhost:9")?;
//! let engine = Engine::new(&settings.limits)?;
//! let component = ComponentClient::load(&engine, BUILTIN, settings.clone()).await?;
//! let client = Stack::new(component.clone(), &settings, ClientMetrics::default());
//!
//! // Two independent fetchers. A clone shares the table.
//! let (invoices, shipping) = (client.clone(), client);
//! let (a, b) = tokio::join!(invoices.call("42".into()), shipping.call("42".into()));
//!
//! // Nothing listens on that port. Both get the error of the one execution that they shared.
//! assert_eq!(a.result.unwrap_err().code(), "upstream-unavailable");
//! assert_eq!(b.result.unwrap_err().code(), "upstream-unavailable");
//! assert_eq!(component.usage().guest_calls, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Data flow
//!
//! ```text
//! HTTP caller ─┐                                               one flight per key
//! CLI ─────────┤→ telemetry → single flight → limits → component → upstream policy → upstream
//! library ─────┘  (each        (N callers      (each flight)        (each request)
//!                  caller)      → 1 flight)
//! ```
//!
//! It goes one way, and imports between modules do too, top to bottom:
//!
//! | module | holds |
//! |---|---|
//! | [`server`] | the HTTP server; the only module that knows status codes |
//! | `openapi` | the description of what callers can call |
//! | [`registry`] | the loaded clients by name, replaced while the service runs |
//! | [`config`] | the configuration file |
//! | [`Stack`] | a component with every decorator around it |
//! | [`component`] | executions that are calls of a WebAssembly component |
//! | [`oci`] | components from a registry, and to one |
//! | [`upstream`] | what a guest may reach, and how |
//! | [`client`] | the traits `Client` and `Execute`, and one decorator per file |
//! | [`settings`] | what can be set, and every default |
//! | [`FlightContext`] | what the layers of one flight report to each other |
//! | [`unread`] | how many bytes a service holds for callers |
//! | [`observability`] | metrics, observations and trace context |
//! | [`admin_types`] | the JSON documents of the admin API |
//! | [`printable`] | text of others, escaped for a log or a terminal |
//! | [`model`] | calls, outcomes, errors and limits: what all of them share |
//! | [`Wit`] | the documentation comments of a component's functions |
//! | [`typed`] | values of the types of WIT, as bytes, JSON and WAVE |
//!
//! # Invariants
//!
//! - Nothing of a caller reaches a guest except the call's arguments, so an answer cannot belong to one caller.
//! - Each flight owns its instance while it lasts: a caller that leaves, a deadline or a trap ends its work
//!   immediately, and the work of no other flight.
//! - A guest's error text goes to the log. Callers get the host's messages.
//! - Every request of a guest goes through [`upstream`].
//! - The only machine code that runs is what this program compiled from the component itself.
//!
//! Out of scope: caching, retrying, identifying callers.

pub mod admin_types;
mod cache_folder;
pub mod client;
pub mod component;
pub mod config;
mod flight_context;
pub mod model;
pub mod observability;
pub mod oci;
mod openapi;
pub mod printable;
pub mod registry;
pub mod server;
pub mod settings;
mod stack;
pub mod typed;
pub mod unread;
pub mod upstream;
mod wit;

pub use client::{Client, Execute, FlightControl, Freshness, Reply, Request, Unshared};
pub use component::{Compilation, Compile, ComponentClient, Engine, LoadError};
pub use flight_context::FlightContext;
pub use model::{Abandoned, Call, ClientError, Item, Items, Limits, Outcome, RequestId, Sharing};
pub use observability::metrics::{ClientMetrics, Metrics};
pub use settings::{
    CompileLimits, InstanceReuse, Instances, RegistryLimits, ServerLimits, Settings,
};
pub use stack::{Stack, TypedCallError};
pub use wit::{Wit, WitDifference, WitError, WitFile};

/// The built-in client, a component like any other: key to URL, one GET, items. Its settings are in
/// `docs/built-in-client.md`.
pub static BUILTIN: &[u8] = include_bytes!(env!("ONEFLIGHT_BUILTIN_COMPONENT"));
