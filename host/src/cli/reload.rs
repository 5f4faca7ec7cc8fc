//! [`Reload`]: loads the clients of a service at its start and on each SIGHUP.
//!
//! Invariant: a load that fails or is abandoned changes nothing, and nothing is loaded once the shutdown has begun.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use oneflight::config::{ClientConfig, Component, Config};
use oneflight::registry::{ClientLookup, ClientRegistry, LoadedClient, ShuttingDown};
use oneflight::{ClientError, ComponentClient, Engine, Metrics, ServerLimits};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use super::capacity::{Capacity, Demand, Demands};
use super::certificate::{self, Certificate};
use super::client::{ProbeError, load_client, probe};
use super::descriptors::DescriptorWatch;
use super::fingerprint::{Fingerprint, Fingerprints};
use super::loading::LoadContext;
use super::log::LineRates;
use super::registries::resolve;
use super::stderr::print_line;

/// Reads the configuration of the file and the flags.
pub(super) type ReadConfig = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// What a load changes.
pub(super) struct Reload<'a> {
    pub(super) read: &'a ReadConfig,
    /// The configuration that the service was started with.
    pub(super) started: &'a Config,
    pub(super) clients: &'a ClientRegistry<ComponentClient>,
    pub(super) fingerprints: &'a Fingerprints,
    pub(super) demands: &'a Demands,
    pub(super) descriptors: &'a DescriptorWatch,
    /// The limits of the service, within what the process may open.
    pub(super) limits: &'a ServerLimits,
    pub(super) engine: &'a Engine,
    pub(super) metrics: &'a Metrics,
    pub(super) rates: &'a LineRates,
    pub(super) certificate: Option<&'a Mutex<Certificate>>,
    /// The URL at which callers reach the service.
    pub(super) url: &'a str,
}

/// A client that is loaded, and what it was loaded from.
struct NewClient {
    client: LoadedClient<ComponentClient>,
    demand: Demand,
    fingerprint: Option<Fingerprint>,
}

/// A client, and what there is to load it from.
type Fingerprinted<'a> = (&'a ClientConfig, Option<Fingerprint>);

/// The fingerprints of `clients`, whose files are read concurrently. They are made before the clients are loaded: a file
/// that changes meanwhile counts as changed at the next reload.
async fn fingerprinted(clients: &[ClientConfig]) -> Vec<Fingerprinted<'_>> {
    let each = clients
        .iter()
        .map(async |client| (client, Fingerprint::of(client).await));
    join_all(each).await
}

/// `clients`, in which a component of a registry has the digest that its reference stands for now. A tag that was moved
/// since is a change, as a changed file is.
async fn pinned(
    context: &LoadContext,
    clients: &[ClientConfig],
) -> anyhow::Result<Vec<ClientConfig>> {
    let each = clients.iter().map(async |client| {
        let mut pinned = client.clone();
        if let Component::Oci(reference) = &client.component {
            let resolved = resolve(&context.registries, reference, &client.access()).await;
            let resolved = resolved.with_context(|| not_loaded(client))?;
            pinned.component = Component::Oci(resolved.reference);
        }
        Ok(pinned)
    });
    try_join_all(each).await
}

fn not_loaded(client: &ClientConfig) -> String {
    format!("could not load the client {}", client.name())
}

/// A step of a load, which is abandoned by dropping it.
type Step<'a, T> = Option<Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>>;

impl Reload<'_> {
    /// Loads the clients of the configuration that the service was started with; and on each SIGHUP reads the
    /// configuration again, and replaces certificate, key and the clients that have changed: all of them, or none on an
    /// error.
    ///
    /// A SIGHUP during a load abandons it for the newest configuration; the first load only once the newest
    /// configuration is valid.
    ///
    /// # Errors
    ///
    /// When the first load fails, or the one that has replaced it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons a load.
    pub(super) async fn run(&self, mut hangup: Signal) -> anyhow::Result<Infallible> {
        let mut has_loaded = false;
        let mut reading: Step<'_, Config> = None;
        let mut loading: Step<'_, ()> = Some(Box::pin(self.load_first()));
        loop {
            tokio::select! {
                biased;
                () = self.clients.shutdown_started() => {
                    drop((reading, loading));
                    return pending().await;
                }
                Some(()) = hangup.recv() => {
                    if has_loaded && loading.take().is_some() {
                        tracing::info!("the reload in progress is abandoned for a newer one");
                    }
                    reading = Some(Box::pin(read(self.read)));
                }
                config = step(&mut reading) => match config {
                    Ok(config) => loading = Some(Box::pin(self.load_again(config))),
                    Err(error) => log_failure(&error),
                },
                loaded = step(&mut loading) => match loaded {
                    Ok(()) => has_loaded = true,
                    Err(error) if has_loaded => log_failure(&error),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Loads all clients, each of which serves callers as soon as it is loaded.
    async fn load_first(&self) -> anyhow::Result<()> {
        let context = self.context(self.started).await?;
        let clients = pinned(&context, &self.started.clients).await?;
        let clients = fingerprinted(&clients).await;
        let mut loading = self.load(&context, clients);
        let mut demands = Vec::new();
        while let Some(loaded) = loading.try_next().await? {
            let NewClient {
                client,
                demand,
                fingerprint,
            } = loaded;
            let name = client.settings().name.clone();
            demands.push((name.clone(), demand));
            self.limit_lines(&client);
            let resource = if client.client().functions().has_items() {
                "items?x=KEY"
            } else {
                "{function}"
            };
            if let Err(ShuttingDown) = self.clients.put(client) {
                return Ok(());
            }
            self.fingerprints.put(fingerprint);
            print_line!("listening on {}/v1/{name}/{resource}", self.url);
        }
        tracing::info!("{}", self.descriptors.summary());
        let capacity = self
            .demands
            .replace(demands, [], self.limits, &self.started.compile);
        capacity.iter().for_each(log_capacity);
        Ok(())
    }

    async fn load_again(&self, config: Config) -> anyhow::Result<()> {
        self.warn_of_kept(&config);
        let renewed = match &config.tls {
            Some(files) => Some(Certificate::read(files.clone()).await?),
            None => None,
        };
        let context = self.context(&config).await?;
        let clients = pinned(&context, &config.clients).await?;
        let (mut kept, mut changed, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for (client, fingerprint) in fingerprinted(&clients).await {
            match fingerprint {
                Some(same) if self.fingerprints.has(&same) => {
                    kept.push(same);
                    probes.push(self.probe_kept(client));
                }
                other => changed.push((client, other)),
            }
        }
        try_join_all(probes).await?;
        let loading = self.load(&context, changed);
        let loaded: Vec<_> = loading.try_collect().await?;
        let demand = |loaded: &NewClient| (loaded.client.settings().name.clone(), loaded.demand);
        let demands: Vec<_> = loaded.iter().map(demand).collect();
        let (loaded, fingerprints): (Vec<_>, Vec<_>) = loaded
            .into_iter()
            .map(|loaded| (loaded.client, loaded.fingerprint))
            .unzip();
        // Nothing from here on fails or waits, so all of it is taken over or nothing.
        loaded.iter().for_each(|client| self.limit_lines(client));
        let names = kept.iter().map(Fingerprint::name);
        if let Err(ShuttingDown) = self.clients.replace(loaded, names) {
            return Ok(());
        }
        let names = kept.iter().map(Fingerprint::name);
        let capacity = self
            .demands
            .replace(demands, names, self.limits, &config.compile);
        let descriptors = self.descriptors.warning(&config);
        let unchanged = kept.len();
        let fingerprints = fingerprints.into_iter().flatten();
        self.fingerprints.replace(fingerprints.chain(kept));
        if let (Some(certificate), Some(renewed)) = (self.certificate, renewed) {
            certificate::lock(certificate).renew(renewed);
        }
        let count = config.clients.len();
        tracing::info!(clients = count, unchanged, "reloaded");
        capacity.iter().for_each(log_capacity);
        if let Some(warning) = descriptors {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// Calls a running client once if its settings have a probe, as if it were loaded again.
    async fn probe_kept(&self, client: &ClientConfig) -> anyhow::Result<()> {
        let name = client.name();
        let (Some(key), ClientLookup::Loaded(running)) = (client.probe(), self.clients.find(name))
        else {
            return Ok(());
        };
        match probe(running.client(), key).await {
            // It has as many callers as it may: nothing is wrong with its settings.
            Ok(()) | Err(ProbeError(ClientError::Overloaded(_))) => Ok(()),
            Err(error) => Err(error).context(format!("could not probe the client {name}")),
        }
    }

    /// What loading needs, as `config` states it.
    async fn context(&self, config: &Config) -> anyhow::Result<LoadContext> {
        let (compile, registry) = (config.compile.clone(), config.registry.clone());
        let engine = self.engine.clone();
        // The cache's folder may be on a file system that hangs, too.
        spawn_blocking(move || LoadContext::of(engine, &compile, &registry)).await?
    }

    /// Loads `clients`; the stream yields each when it is ready, with what it was loaded from.
    fn load<'a>(
        &'a self,
        context: &'a LoadContext,
        clients: Vec<Fingerprinted<'a>>,
    ) -> FuturesUnordered<impl Future<Output = anyhow::Result<NewClient>> + use<'a>> {
        let one = async move |(client, fingerprint): Fingerprinted<'a>| {
            let loaded = load_client(context, client).await;
            let component = loaded.with_context(|| not_loaded(client))?.component;
            let demand = Demand::of(&component);
            let settings = component.settings().clone();
            let metrics = self.metrics.client(&settings.name);
            Ok(NewClient {
                client: LoadedClient::new(component, settings, metrics),
                demand,
                fingerprint,
            })
        };
        clients.into_iter().map(one).collect()
    }

    fn limit_lines(&self, client: &LoadedClient<ComponentClient>) {
        let settings = client.settings();
        self.rates
            .limit(&settings.name, settings.limits.max_log_lines);
    }

    /// Warns of changes that have no effect.
    fn warn_of_kept(&self, config: &Config) {
        let kept = |config: &Config| {
            let Config {
                listen,
                admin,
                admin_hosts,
                proxy_protocol_from,
                tls,
                limits,
                log,
                traces,
                ..
            } = config.clone();
            (
                listen,
                admin,
                admin_hosts,
                proxy_protocol_from,
                tls.is_some(),
                limits,
                log,
                traces,
            )
        };
        if kept(config) != kept(self.started) {
            tracing::warn!(
                "changes of the addresses, of admin_hosts, of proxy_protocol_from, of whether TLS is used, of [limits], [log] and [traces] need a restart"
            );
        }
    }
}

/// Reads the configuration on a thread for blocking work: a file may be a pipe without a writer, or on a file system
/// that hangs, and that delays no signal.
///
/// # Cancel safety
///
/// Dropping the future leaves the thread to itself.
pub(super) async fn read(config: &ReadConfig) -> anyhow::Result<Config> {
    let config = Arc::clone(config);
    spawn_blocking(move || config()).await?
}

/// The result of a step, which is then none any more; never ready without one.
async fn step<T>(step: &mut Step<'_, T>) -> anyhow::Result<T> {
    match step {
        Some(running) => {
            let result = running.await;
            *step = None;
            result
        }
        None => pending().await,
    }
}

fn log_capacity(Capacity { lines, warnings }: &Capacity) {
    for line in lines {
        tracing::info!("{line}");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn log_failure(error: &anyhow::Error) {
    tracing::error!("could not reload; nothing has changed: {error:#}");
}
