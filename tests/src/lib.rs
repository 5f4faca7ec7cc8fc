//! The harness of the end-to-end tests: an upstream that counts and misbehaves, clients around real
//! components, the real binary as a process, and an HTTP client with nothing clever in it.
//!
//! Nothing here sleeps: tests wait for events, and [`failsafe`] fails the one that waits in vain.

pub mod artifacts;
mod binary;
pub mod bomb;
pub mod browser;
pub mod caller;
pub mod events;
pub mod folder;
pub mod memory;
pub mod names;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod serving;
pub mod tls;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use oneflight::{BUILTIN, Call, ComponentClient, Engine, Limits, Metrics, Settings, Stack};

/// The longest that a test waits for anything: a machine that is busy with builds takes ten times as long as
/// one that is not, and only a test that fails waits for all of it.
pub const FAILSAFE: Duration = Duration::from_secs(60);

/// Longer than any test waits: with this limit, an end that comes is not the limit's.
pub const NEVER: Duration = Duration::from_secs(3_600);

/// `future`'s output, which must come within [`FAILSAFE`].
///
/// # Panics
///
/// When it does not; `what` says what was waited for.
pub async fn failsafe<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(FAILSAFE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {FAILSAFE:?} in vain for {what}"),
    }
}

/// A component with its decorators, and without, for its figures.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What callers ask.
    pub client: Stack<ComponentClient>,
    /// What it is made of.
    pub component: ComponentClient,
    /// What runs it, and nothing else but what a test loads there.
    pub engine: Engine,
    /// The metrics that count its callers and flights.
    pub metrics: Arc<Metrics>,
}

impl Subject {
    /// Loads the component in the file `path`, and decorates it.
    ///
    /// # Panics
    ///
    /// When it does not load.
    pub async fn load(path: &str, settings: Settings) -> Self {
        let binary = std::fs::read(path).expect("the build script has built it");
        Self::decorating(&binary, settings).await
    }

    /// The built-in client, which asks `base_url`.
    ///
    /// # Panics
    ///
    /// When it does not load.
    pub async fn builtin(base_url: &str, settings: Settings) -> Self {
        Self::decorating(BUILTIN, settings.env("BASE_URL", base_url)).await
    }

    /// The guest that does whatever its key says.
    pub async fn misbehaving(settings: Settings) -> Self {
        Self::load(artifacts::MISBEHAVING, settings).await
    }

    async fn decorating(binary: &[u8], settings: Settings) -> Self {
        let engine = Engine::new(&settings.limits).expect("address space for guests");
        Self::on(&engine, binary, settings).await
    }

    /// The component in `binary`, on an engine that it shares.
    ///
    /// # Panics
    ///
    /// When it does not load.
    pub async fn on(engine: &Engine, binary: &[u8], settings: Settings) -> Self {
        let component = ComponentClient::load(engine, binary, settings).await;
        let component = component.expect("a component that fits");
        let metrics = Arc::new(Metrics::default());
        let settings = component.settings();
        let counted = metrics.client(&settings.name);
        Self {
            client: Stack::new(component.clone(), settings, counted),
            component,
            engine: engine.clone(),
            metrics,
        }
    }

    /// Asks, and says what came of it: the items' JSON, or the error's code.
    ///
    /// # Errors
    ///
    /// The code of the error that the caller gets.
    pub async fn ask(&self, key: impl Into<Call>) -> Result<String, &'static str> {
        use oneflight::Client;
        let answer = failsafe("an answer", self.client.call(key.into().into())).await;
        match answer.result {
            Ok(items) => Ok(String::from_utf8_lossy(&items.json()).into_owned()),
            Err(error) => Err(error.code()),
        }
    }

    /// Drops the client and waits until nothing is left of it or of its upstreams' connections: there
    /// are no more [`tasks`] than `before`.
    pub async fn gone(self, before: usize) {
        self.settled().await;
        drop(self);
        fewer_tasks(before).await;
    }

    /// Waits until the client has `count` connections.
    pub async fn connected(&self, count: usize) {
        failsafe("connections to be opened or closed", async {
            while self.component.usage().connections != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until nothing is left of the flights before: no flight or caller in the table, no guest
    /// under way, and no place in the engine's pool but those of instances that are kept for later.
    pub async fn settled(&self) {
        let is_settled = || {
            let (table, usage) = (self.client.control(), self.component.usage());
            table.flights() + table.callers() + usage.running == 0
                && self.engine.instances() == usage.idle as u64
        };
        failsafe("all flights to be gone", async {
            while !is_settled() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Settings that let a guest reach `upstream`, with no deadline that falls within a test: a connection
/// that is closed was closed for another reason.
///
/// # Panics
///
/// Never: an upstream's origin is one.
#[must_use]
pub fn reaching(upstream: &upstream::Upstream) -> Settings {
    let settings = Settings::new("test").allow(&upstream.origin());
    Settings {
        limits: patient(),
        ..settings.expect("an origin")
    }
}

/// Limits with no time that a test would see.
#[must_use]
pub fn patient() -> Limits {
    Limits {
        connect_timeout: NEVER,
        first_byte_timeout: NEVER,
        between_bytes_timeout: NEVER,
        request_timeout: NEVER,
        flight_timeout: NEVER,
        ..Limits::default()
    }
}

/// Waits until there are no more [`tasks`] than `most`.
pub async fn fewer_tasks(most: usize) {
    failsafe("tasks to be gone", async {
        while tasks() > most {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Tasks of this test's runtime: of the host, of the upstreams, and the test's own.
#[must_use]
pub fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
