//! Runs your client as a WebAssembly component, and makes sure that callers who ask for the same
//! thing at the same time share one call.
//!
//! Load a component, decorate it, hand it to two fetchers:
//!
//! ```
//! use oneflight::{BUILTIN, Client, ComponentClient, Engine, Settings, decorate};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let settings = Settings::new("orders")
//!     .env("BASE_URL", "http://localhost:9/orders?customer={x}")
//!     .allow("http://localhost:9")?;
//! let engine = Engine::new(&settings.limits)?;
//! let component = ComponentClient::load(&engine, BUILTIN, settings.clone()).await?;
//! let client = decorate(component.clone(), &settings);
//!
//! // Two places that know nothing of each other. A clone shares the table.
//! let (invoices, shipping) = (client.clone(), client);
//! let (a, b) = tokio::join!(invoices.get_items("42".into()), shipping.get_items("42".into()));
//!
//! // Nobody listens on that port: both are told so, by the one call that was made for them.
//! assert_eq!(a.result.unwrap_err().code(), "upstream-unavailable");
//! assert_eq!(b.result.unwrap_err().code(), "upstream-unavailable");
//! assert_eq!(component.usage().guest_calls, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a call
//!
//! ```text
//! HTTP caller ─┐                                               one flight per key
//! CLI ─────────┤→ telemetry → single-flight → limits → component → upstream policy → upstream
//! library ─────┘  (every       (N callers      (every flight)       (every request)
//!                  caller)      → 1 flight)
//! ```
//!
//! It goes one way: no part knows the one before it.
//!
//! | module | holds |
//! |---|---|
//! | [`client`] | the words that all parts speak, and one decorator a file |
//! | [`clients`] | the clients of a service, by name |
//! | [`component`] | a client that is a WebAssembly component |
//! | [`upstream`] | what a guest may reach, and how |
//! | [`config`] | what can be set, and every default |
//! | [`metrics`] | what a service has done, in figures |
//! | [`observation`] | who asks for what, and twice, key by key, while somebody looks |
//! | [`server`] | HTTP in; the only part that knows status codes |
//!
//! # Invariants
//!
//! - Nothing of a caller reaches a guest but the key, so an answer cannot belong to one caller.
//! - Each flight owns its instance while it lasts: leaving, deadlines and traps end its work at once, and
//!   no other's.
//! - What a guest says goes to the log; what a caller is told are the host's words.
//! - No request leaves a guest but through [`upstream`].
//! - No machine code runs but what this program compiled from the component itself.
//!
//! Deliberately absent: caching, retrying, identifying callers.

pub mod client;
pub mod clients;
pub mod component;
pub mod config;
pub mod metrics;
pub mod observation;
pub mod server;
mod trace;
pub mod upstream;

pub use client::{Answer, Client, ClientError, Item, Items, Key};
pub use component::{Compilation, Compile, ComponentClient, Engine, LoadError};
pub use config::{Abandoned, CompileLimits, FrontLimits, Instances, Limits, Settings, Sharing};
pub use metrics::Metrics;

use client::{WithLimits, WithSingleFlight, WithTelemetry};

/// The built-in client, a component like any other: key to URL, one GET, items. Its settings are in
/// the README.
pub static BUILTIN: &[u8] = include_bytes!(env!("ONEFLIGHT_BUILTIN_COMPONENT"));

/// A client with everything around it, outermost first.
pub type Decorated<C> = WithTelemetry<WithSingleFlight<WithLimits<C>>>;

/// Puts the decorators around `client`, as `settings` say: for a component, those that it was loaded
/// with. Clones of what it returns share one table; what a second call returns has a table of its own.
pub fn decorate<C: Client>(client: C, settings: &Settings) -> Decorated<C> {
    // Innermost: a flight takes a permit, its callers do not. A follower that needed one would wait
    // for the very flight that it could have joined.
    let limited = WithLimits::new(client, &settings.limits);
    // All callers of a key become one flight here.
    let shared = WithSingleFlight::new(limited, settings);
    // Outermost: sees every caller, those included that share a flight or are refused one.
    WithTelemetry::new(shared, settings)
}
