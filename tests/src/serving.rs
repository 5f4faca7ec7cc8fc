//! The service inside the test process, so that a test can read its state.

use std::net::SocketAddr;
use std::sync::Arc;

use oneflight::registry::{ClientRegistry, LoadedClient};
use oneflight::server::{Listeners, Service, Tls};
use oneflight::{ComponentClient, ServerLimits};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::upstream::Upstream;
use crate::{Subject, failsafe, reaching};

/// A service with a public and an admin listener; dropping this value ends it.
#[derive(Debug)]
pub struct Serving {
    /// A client of the service; both use one table.
    pub subject: Subject,
    /// All clients of the service.
    pub clients: Arc<ClientRegistry<ComponentClient>>,
    /// The public address.
    pub callers: SocketAddr,
    /// The admin address.
    pub operator: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Serving {
    /// Serves `subject`, with default limits.
    pub async fn start(subject: Subject) -> Self {
        Self::with(subject, ServerLimits::default(), None).await
    }

    /// Serves the built-in client in front of `upstream`.
    pub async fn in_front_of(upstream: &Upstream) -> Self {
        let base_url = format!("{}/items", upstream.origin());
        Self::start(Subject::builtin(&base_url, reaching(upstream)).await).await
    }

    /// Serves `subject` with these limits, and with TLS if given.
    pub async fn with(subject: Subject, limits: ServerLimits, tls: Option<Tls>) -> Self {
        let clients = Arc::new(ClientRegistry::of([served(&subject)]));
        Self::of(clients, subject, limits, tls).await
    }

    /// Serves `clients`, one of which is `subject`.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn of(
        clients: Arc<ClientRegistry<ComponentClient>>,
        subject: Subject,
        limits: ServerLimits,
        tls: Option<Tls>,
    ) -> Self {
        let callers = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let operator = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let (shutdown, ended) = oneshot::channel();
        let at = (address(&callers), address(&operator));
        let service = Service::new(Arc::clone(&clients), Arc::default(), limits);
        let running = tokio::spawn(async move {
            let listeners = Listeners {
                callers: callers.into(),
                tls,
                proxies: Vec::new(),
                admin: Some(operator.into()),
                admin_hosts: Vec::new(),
            };
            service.run(listeners, async { drop(ended.await) }).await;
        });
        Self {
            subject,
            clients,
            callers: at.0,
            operator: at.1,
            shutdown: Some(shutdown),
            running,
        }
    }

    /// Waits until this many callers wait for a flight.
    pub async fn waiting(&self, callers: usize) {
        failsafe("the callers to wait", async {
            while self.subject.client.control().callers() != callers {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Begins the shutdown.
    pub fn shut_down(&mut self) {
        // Dropping the sender is the signal.
        self.shutdown = None;
    }

    /// Waits until the shutdown has ended.
    ///
    /// # Panics
    ///
    /// When it does not end, or panics.
    pub async fn ended(&mut self) {
        let ended = failsafe("the service to end", &mut self.running).await;
        ended.expect("a service that does not panic");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// The subject as a client of a service; both use one table.
#[must_use]
pub fn served(subject: &Subject) -> LoadedClient<ComponentClient> {
    let settings = subject.component.settings().clone();
    let metrics = subject.metrics.client(&settings.name);
    LoadedClient::from_stack(subject.client.clone(), settings, metrics)
}
