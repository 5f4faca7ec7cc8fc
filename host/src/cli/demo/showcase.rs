//! The demo as a service: one client that shares and one that only observes, to be asked by curl and looked
//! at in a browser.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use oneflight::client::Client;
use oneflight::registry::{ClientRegistry, LoadedClient};
use oneflight::server::{Listeners, Service};
use oneflight::{Call, ComponentClient, Engine, Metrics, ServerLimits, Settings, Sharing};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use super::upstream::Upstream;
use super::{Demo, load_builtin};
use crate::cli::client::NAME;
use crate::cli::serve::{listen, shutdown};

/// The client that shares nothing.
const OBSERVED: &str = "observed";

/// The keys that the fetchers ask for, one after another.
const KEYS: u64 = 10;

/// How often they do: the upstream has two or so under way then, unless it is told to take longer.
const PACE: Duration = Duration::from_millis(50);

/// What a demo goes on as.
pub(super) struct Showcase {
    clients: Arc<ClientRegistry<ComponentClient>>,
    metrics: Arc<Metrics>,
    callers: TcpListener,
    operator: TcpListener,
    addresses: Addresses,
    fetchers: bool,
}

/// Where it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// Where callers ask, but for the client's name and the key.
    callers: String,
    /// The page.
    page: String,
}

impl Showcase {
    /// Listens, with `component` and another load of it.
    pub(super) async fn new(
        demo: &Demo,
        engine: &Engine,
        component: ComponentClient,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let callers = listen(demo.listen, "--listen")?;
        let operator = listen(demo.admin, "--admin")?;
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
            page: format!("http://{}/", operator.local_addr()?),
        };
        Ok(Self {
            clients: Arc::new(clients),
            metrics,
            callers,
            operator,
            addresses,
            fetchers: demo.open,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Answers until it is told to end.
    pub(super) async fn run(self, upstream: &Upstream) -> anyhow::Result<()> {
        let shutdown = shutdown()?;
        let (url, origin) = (&self.addresses.callers, upstream.origin());
        eprintln!("Until Ctrl-C:\n");
        let admin = self.operator.local_addr()?;
        for (what, meaning) in [
            (self.addresses.page.clone(), "the page, for a browser"),
            (
                format!("oneflight observe --for 3s --admin {admin}"),
                "who asks twice, and what sharing saves",
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
                "each has its own, and what sharing would save is counted",
            ),
            (
                format!("curl '{origin}/count'"),
                "the requests that the upstream has had",
            ),
        ] {
            eprintln!("  {what:<60} {meaning}");
        }
        let doors = Listeners {
            callers: self.callers,
            tls: None,
            operator: Some(self.operator),
        };
        let clients = Arc::clone(&self.clients);
        let limits = ServerLimits {
            shutdown_delay: Duration::ZERO,
            ..ServerLimits::default()
        };
        let service = Service::new(self.clients, self.metrics, limits);
        if self.fetchers {
            tokio::select! {
                () = service.run(doors, shutdown) => {}
                never = fetch(&clients) => match never {},
            }
        } else {
            service.run(doors, shutdown).await;
        }
        Ok(())
    }
}

/// Two fetchers that know nothing of each other ask both clients for the same, again and again.
async fn fetch(clients: &ClientRegistry<ComponentClient>) -> Infallible {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        pace.tick().await;
        let call = Call::from(number.to_string());
        for served in clients.all() {
            for _fetcher in 0..2 {
                let (served, call) = (Arc::clone(&served), call.clone());
                tokio::spawn(async move { served.client().call(call.into()).await });
            }
        }
        number = (number + 1) % KEYS;
    }
}
