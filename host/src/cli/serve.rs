//! `oneflight serve`: the clients that a file and flags describe, over HTTP, until SIGINT or SIGTERM.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use oneflight::config::{
    ClientConfig, Config, ListenAddress, OtlpUrl, TlsFiles, TracesConfig, describe, summarize,
};
use oneflight::registry::{ClientRegistry, LoadedClient};
use oneflight::server::{Listeners, Service, Tls};
use oneflight::{ComponentClient, Engine, Metrics};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::client::{ClientFlags, NAME, load_client};
use super::compile::engine;
use super::log::LineRates;
use super::network::{listen_address, listen_at};
use super::shutdown::shutdown;
use super::stderr::print_line;
use super::traces::Traces;
use super::{allocator, log, stderr};

/// Serves clients over HTTP: GET /v1/NAME/items?x=KEY, /livez, /readyz.
///
/// SIGINT and SIGTERM start a graceful shutdown; a second signal exits immediately. SIGHUP reloads the configuration,
/// the components and the certificate; if one of them is not valid, nothing changes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// The configuration file. Flags override it; the flags that describe a client apply to the client named default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[arg(long, value_name = "ADDRESS", value_parser = listen_address, help = summarize("listen"), long_help = describe("listen"))]
    listen: Option<ListenAddress>,

    /// The address of the admin API: metrics, open flights and the dashboard; off disables it [default:
    /// 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = admin)]
    admin: Option<Admin>,

    #[arg(long, value_name = "URL", help = summarize("traces.otlp"), long_help = describe("traces.otlp"))]
    otlp: Option<OtlpUrl>,

    #[command(flatten)]
    client: ClientFlags,
}

/// The address of the admin API.
#[derive(Clone, Debug)]
enum Admin {
    At(ListenAddress),
    Off,
}

const EXAMPLES: &str = "\
Examples:
  oneflight serve --base-url 'http://localhost:3000/items?id={x}'
  curl 'http://127.0.0.1:8080/v1/default/items?x=42'

  HEADER_AUTHORIZATION='Bearer ...' oneflight serve --base-url https://api.example.com/items \\
      --set-from-env HEADER_AUTHORIZATION
  oneflight serve --component my-client.wasm --allow https://api.example.com --listen 127.0.0.1:9000
  oneflight serve --config oneflight.toml";

impl Serve {
    pub(super) async fn run(self, level: Option<LevelFilter>) -> anyhow::Result<ExitCode> {
        stderr::start_queue();
        let config = self.config()?;
        log::panics(config.log.format);
        let targets = log::at_level(level.unwrap_or(config.log.level));
        let (tracer, traces) = config.traces.as_ref().map(Traces::start).unzip();
        let rates = LineRates::default();
        log::start(targets, config.log.format, rates.clone(), tracer);
        if let Err(error) = allocator::configure() {
            tracing::warn!(%error, "could not configure how long the allocator keeps free memory");
        }
        let tls = config.tls.as_ref().map(identity).transpose()?;
        // From here on the process handles these signals itself.
        let (shutdown, hangup) = (shutdown()?, signal(SignalKind::hangup())?);
        // The files of Unix sockets are removed at the end.
        let (callers, address, _callers_file) = listen_at(&config.listen, "--listen")?;
        let admin = config.admin.as_ref();
        let admin = admin.map(|admin| listen_at(admin, "--admin")).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (admin, _admin_file) = match admin {
            Some((admin, address, file)) => {
                print_line!("administration on {}", url("http", &address));
                (Some(admin), file)
            }
            None => (None, None),
        };
        let names = config.clients.iter().map(ClientConfig::name);
        let clients = Arc::new(ClientRegistry::named(names));
        let metrics = Arc::new(Metrics::default());
        let service = Service::new(
            Arc::clone(&clients),
            Arc::clone(&metrics),
            config.limits.clone(),
        );
        let loading = async {
            let mut loaded = load(&config, &metrics)?;
            while let Some(client) = loaded.try_next().await? {
                let name = client.settings().name.clone();
                rates.limit(&name, client.settings().limits.max_log_lines);
                clients.put(client);
                print_line!(
                    "listening on {}/v1/{name}/items?x=KEY",
                    url(scheme, &address)
                );
            }
            self.reload(hangup, &config, &clients, &metrics, &rates, tls.as_ref())
                .await
        };
        let listeners = Listeners {
            callers,
            tls: tls.clone(),
            admin,
            admin_hosts: config.admin_hosts.iter().map(ToString::to_string).collect(),
        };
        // In a task, so that reading files here does not delay accepting.
        let serving = tokio::spawn(async move { service.run(listeners, shutdown).await });
        let ended = tokio::select! {
            ended = serving => ended.map(|()| ExitCode::SUCCESS).map_err(Into::into),
            failed = loading => failed,
            never = log::report_lost_lines(&rates, &metrics) => match never {},
        };
        if let Some(traces) = traces {
            traces.shutdown().await;
        }
        ended
    }

    /// The configuration of the file and the flags.
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        if let Some(listen) = &self.listen {
            config.listen = listen.clone();
        }
        match &self.admin {
            Some(Admin::At(address)) => config.admin = Some(address.clone()),
            Some(Admin::Off) => config.admin = None,
            None => {}
        }
        if let Some(otlp) = &self.otlp {
            match &mut config.traces {
                Some(traces) => traces.otlp = otlp.clone(),
                None => config.traces = Some(TracesConfig::to(otlp.clone())),
            }
        }
        config.compile = self.client.compile.over(config.compile);
        if self.config.is_none() || self.client.any() {
            let described = |client: &ClientConfig| client.name() == NAME;
            let client = match config.clients.iter().position(described) {
                Some(place) => config.clients.remove(place),
                None => ClientConfig::new(NAME),
            };
            config.clients.push(self.client.over(client)?);
        }
        if config.clients.is_empty() {
            anyhow::bail!(
                "expected a client to serve, got none; add a table [clients.NAME] to the file"
            );
        }
        Ok(config)
    }

    /// On each SIGHUP reads the files again, and replaces clients, certificate and key; all of them, or none on an error.
    async fn reload(
        &self,
        mut hangup: Signal,
        started: &Config,
        clients: &ClientRegistry<ComponentClient>,
        metrics: &Metrics,
        rates: &LineRates,
        tls: Option<&Tls>,
    ) -> anyhow::Result<ExitCode> {
        loop {
            let Some(()) = hangup.recv().await else {
                std::future::pending().await
            };
            match self.load_again(started, metrics).await {
                Ok((loaded, renewed)) => {
                    let count = loaded.len();
                    for client in &loaded {
                        let settings = client.settings();
                        rates.limit(&settings.name, settings.limits.max_log_lines);
                    }
                    clients.replace(loaded);
                    if let (Some(tls), Some(renewed)) = (tls, renewed) {
                        tls.renew(&renewed);
                    }
                    tracing::info!(clients = count, "reloaded");
                }
                Err(error) => {
                    tracing::error!("could not reload; nothing has changed: {error:#}");
                }
            }
        }
    }

    async fn load_again(
        &self,
        started: &Config,
        metrics: &Metrics,
    ) -> anyhow::Result<(Vec<LoadedClient<ComponentClient>>, Option<Tls>)> {
        let config = self.config()?;
        let kept = |config: &Config| {
            let Config {
                listen,
                admin,
                admin_hosts,
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
                tls.is_some(),
                limits,
                log,
                traces,
            )
        };
        if kept(&config) != kept(started) {
            tracing::warn!(
                "changes of the addresses, of whether TLS is used, of [limits], [log] and [traces] need a restart"
            );
        }
        let tls = config.tls.as_ref().map(identity).transpose()?;
        // With a new engine and pool, so that the running clients keep their instances.
        Ok((load(&config, metrics)?.try_collect().await?, tls))
    }
}

/// Loads all clients; the stream yields each when it is ready.
fn load<'a>(
    config: &'a Config,
    metrics: &'a Metrics,
) -> anyhow::Result<
    FuturesUnordered<impl Future<Output = anyhow::Result<LoadedClient<ComponentClient>>> + use<'a>>,
> {
    let limits = config.clients.iter().map(|client| &client.limits);
    let engine = engine(limits, &config.compile)?;
    let one = async |engine: Engine, client: &ClientConfig| {
        let component = load_client(&engine, client)
            .await
            .with_context(|| format!("could not load the client {}", client.name()))?;
        let settings = component.settings().clone();
        let metrics = metrics.client(&settings.name);
        Ok(LoadedClient::new(component, settings, metrics))
    };
    Ok(config
        .clients
        .iter()
        .map(|client| one(engine.clone(), client))
        .collect())
}

/// The certificate and key of the callers' listener.
fn identity(files: &TlsFiles) -> anyhow::Result<Tls> {
    let read = |file: &Path| {
        std::fs::read(file).with_context(|| format!("could not read {}", file.display()))
    };
    let (certificate, key) = (&files.certificate, &files.key);
    Tls::from_pem(&read(certificate)?, &read(key)?)
        .with_context(|| format!("cannot use {} and {}", certificate.display(), key.display()))
}

/// The origin of an address, or the address of a Unix socket, which has none.
fn url(scheme: &str, address: &ListenAddress) -> String {
    match address {
        ListenAddress::Ip(address) => format!("{scheme}://{address}"),
        ListenAddress::Unix(_) => format!("{address} {scheme}://localhost"),
    }
}

fn admin(text: &str) -> Result<Admin, String> {
    match text {
        "off" => Ok(Admin::Off),
        text => Ok(Admin::At(listen_address(text)?)),
    }
}
