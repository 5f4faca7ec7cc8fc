//! [`Showcase`]: the demo as a service of two clients, one that shares and one that only observes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneflight::client::Client;
use oneflight::config::LogFormat;
use oneflight::registry::{ClientRegistry, LoadedClient};
use oneflight::server::{Listeners, Service};
use oneflight::{Call, ComponentClient, Engine, Metrics, ServerLimits, Settings, Sharing};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use super::upstream::DemoUpstream;
use crate::cli::client::NAME;
use crate::cli::loading::load_builtin;
use crate::cli::log;
use crate::cli::network::listen;
use crate::cli::signals::Signals;
use crate::cli::stderr::{self, print_line};

/// The client that shares nothing.
const OBSERVED: &str = "observed";

/// The number of keys that the fetchers request, one after another.
const KEYS: u64 = 10;

/// The time between two calls: with the default delay, about two upstream requests are open.
const CALL_INTERVAL: Duration = Duration::from_millis(50);

/// A service that runs after the demo.
pub(super) struct Showcase {
    clients: Arc<ClientRegistry<ComponentClient>>,
    metrics: Arc<Metrics>,
    callers: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
    fetchers: bool,
}

/// What to start it with.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShowcaseOptions {
    /// The address for callers.
    pub(super) callers: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Whether two fetchers keep calling.
    pub(super) fetchers: bool,
}

/// The URLs of its listeners.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// The start of each caller's URL, before the client's name.
    callers: String,
    dashboard: String,
}

impl Showcase {
    /// Listens, and loads the built-in client once more, to be observed.
    pub(super) async fn new(
        options: ShowcaseOptions,
        engine: &Engine,
        component: ComponentClient,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let callers = listen(options.callers, "--listen")?;
        let admin = listen(options.admin, "--admin")?;
        let metrics = Arc::new(Metrics::default());
        let loaded = |component, name: &str, sharing| {
            let settings = Settings {
                name: name.to_owned(),
                sharing,
                ..settings.clone()
            };
            LoadedClient::new(component, settings, metrics.client(name))
        };
        let observed = load_builtin(engine, settings.clone()).await?;
        let clients = ClientRegistry::of([
            loaded(component, NAME, Sharing::default()),
            loaded(observed, OBSERVED, Sharing::Observed),
        ]);
        let addresses = Addresses {
            callers: format!("http://{}/v1", callers.local_addr()?),
            dashboard: format!("http://{}/", admin.local_addr()?),
        };
        Ok(Self {
            clients: Arc::new(clients),
            metrics,
            callers,
            admin,
            addresses,
            fetchers: options.fetchers,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Serves until a signal ends it.
    pub(super) async fn run(self, upstream: &DemoUpstream) -> anyhow::Result<()> {
        stderr::start_queue();
        log::panics(LogFormat::default());
        let (mut hangup, shutdown) = Signals::new()?.split(None);
        // There is no file to reload. The closing of its terminal ends the demo.
        let shutdown = async move {
            tokio::select! {
                () = shutdown => {}
                _ = hangup.recv() => {}
            }
        };
        let (url, origin) = (&self.addresses.callers, upstream.origin());
        print_line!("Until Ctrl-C:\n");
        let admin = self.admin.local_addr()?;
        for (command, meaning) in [
            (self.addresses.dashboard.clone(), "the dashboard"),
            (
                format!("oneflight observe --for 3s --admin {admin}"),
                "duplicate calls, and what sharing saves",
            ),
            (
                format!("oneflight explain 1 --client {NAME} --admin {admin}"),
                "what would happen to a caller now",
            ),
            (
                format!("curl '{url}/{NAME}/items?x=42'"),
                "callers share a flight",
            ),
            (
                format!("curl '{url}/{OBSERVED}/items?x=42'"),
                "each caller has its own flight; what sharing would save is counted",
            ),
            (
                format!("curl '{origin}/count'"),
                "the number of upstream requests",
            ),
        ] {
            print_line!("  {command:<60} {meaning}");
        }
        let listeners = Listeners {
            callers: self.callers.into(),
            tls: None,
            proxies: Vec::new(),
            admin: Some(self.admin.into()),
            admin_hosts: Vec::new(),
        };
        let clients = Arc::clone(&self.clients);
        let limits = ServerLimits {
            shutdown_delay: Duration::ZERO,
            ..ServerLimits::default()
        };
        let service = Service::new(self.clients, self.metrics, limits);
        if self.fetchers {
            tokio::select! {
                () = service.run(listeners, shutdown) => {}
                never = fetch(&clients) => match never {},
            }
        } else {
            service.run(listeners, shutdown).await;
        }
        Ok(())
    }
}

/// Two independent fetchers call both clients with the same key, again and again.
async fn fetch(clients: &ClientRegistry<ComponentClient>) -> Infallible {
    let mut calls = interval(CALL_INTERVAL);
    calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        calls.tick().await;
        let call = Call::from(number.to_string());
        for client in clients.all() {
            for _fetcher in 0..2 {
                let (client, call) = (Arc::clone(&client), call.clone());
                tokio::spawn(async move { client.client().call(call.into()).await });
            }
        }
        number = (number + 1) % KEYS;
    }
}
