//! The harness of the end-to-end tests: an upstream that counts and misbehaves, clients around real
//! components, the real binary as a process, and a plain HTTP client.
//!
//! Nothing here depends on how fast the machine is. A test waits for events; [`failsafe`] fails a test whose
//! event does not come. Every limit that a test does not assert is [`NEVER`]. A test that asserts a limit sets
//! that one to [`LIMIT`] and lets it pass with [`fast_forward`].

pub mod artifacts;
mod binary;
pub mod bomb;
pub mod browser;
pub mod caller;
pub mod docker_registry;
pub mod events;
pub mod fake_registry;
pub mod folder;
pub mod frames;
pub mod memory;
pub mod names;
pub mod nginx;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod script;
pub mod serving;
pub mod tinyproxy;
pub mod tls;
pub mod unreading;
pub mod uploads;
pub mod upstream;
mod waiting;
pub mod wordy;

use std::sync::Arc;

pub use self::waiting::{FAILSAFE, LIMIT, NEVER, StoppedClock, failsafe, fast_forward};

use oneflight::{BUILTIN, Call, ComponentClient, Engine, Limits, Metrics, Settings, Stack};

/// A component, with its decorators and without them.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The decorated client, which callers call.
    pub client: Stack<ComponentClient>,
    /// The component alone, for its usage.
    pub component: ComponentClient,
    /// The engine that runs it, and no other component unless a test loads one.
    pub engine: Engine,
    /// The metrics that count its callers and flights.
    pub metrics: Arc<Metrics>,
}

impl Subject {
    /// Loads and decorates the component in the file `path`.
    ///
    /// # Panics
    ///
    /// When the component does not load.
    pub async fn load(path: &str, settings: Settings) -> Self {
        let binary = std::fs::read(path).expect("the build script has built it");
        Self::decorating(&binary, settings).await
    }

    /// The built-in client, with `base_url` as its upstream.
    ///
    /// # Panics
    ///
    /// When it does not load.
    pub async fn builtin(base_url: &str, settings: Settings) -> Self {
        Self::decorating(BUILTIN, settings.env("BASE_URL", base_url)).await
    }

    /// The guest that misbehaves as its key says.
    pub async fn misbehaving(settings: Settings) -> Self {
        Self::load(artifacts::MISBEHAVING, settings).await
    }

    async fn decorating(binary: &[u8], settings: Settings) -> Self {
        let engine = Engine::new(&settings.limits).expect("address space for guests");
        Self::on(&engine, binary, settings).await
    }

    /// Loads and decorates the component in `binary` on an engine that other clients may use too.
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

    /// Calls the client and returns the items as JSON.
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

    /// Drops the client and waits until its tasks and those of its upstream connections have ended: until
    /// there are no more than `before` [`tasks`].
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

    /// The value of this metric of the client, whose name is `test`.
    ///
    /// # Panics
    ///
    /// When there is no such metric.
    #[must_use]
    pub fn counted(&self, metric: &str) -> f64 {
        let text = self.metrics.text(&[], 0);
        let name = format!("oneflight_{metric}{{client=\"test\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&*name));
        value.and_then(|value| value.parse().ok()).expect(metric)
    }

    /// Waits until nothing is left of earlier flights: no flight or caller in the table, no running guest,
    /// and no slot of the engine's pool in use except by idle instances.
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

/// Settings of a client that may reach nothing, with [`patient`] limits.
#[must_use]
pub fn settings() -> Settings {
    Settings {
        limits: patient(),
        ..Settings::new("test")
    }
}

/// Settings that let a guest reach `upstream`, with [`patient`] limits: no connection is closed because a
/// limit has passed.
///
/// # Panics
///
/// Never: an upstream's origin is valid.
#[must_use]
pub fn reaching(upstream: &upstream::Upstream) -> Settings {
    let reaching = settings().allow(&upstream.origin());
    reaching.expect("an origin")
}

/// The default limits, except that no time limit ever passes.
#[must_use]
pub fn patient() -> Limits {
    Limits {
        connect_timeout: NEVER,
        first_byte_timeout: NEVER,
        between_bytes_timeout: NEVER,
        request_timeout: NEVER,
        queue_timeout: NEVER,
        flight_timeout: NEVER,
        max_cpu_time: NEVER,
        idle_timeout: NEVER,
        max_connection_age: NEVER,
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

/// Tasks of this test's runtime: the host's, the upstreams' and the test's own.
#[must_use]
pub fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
