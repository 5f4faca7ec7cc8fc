//! `oneflight serve`: the clients that a file and flags describe, over HTTP, until SIGINT or SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Args;
use oneflight::config::{
    ClientConfig, Config, ListenAddress, OtlpUrl, TracesConfig, describe, summarize,
};
use oneflight::registry::ClientRegistry;
use oneflight::server::{Listeners, Service};
use oneflight::{Engine, Metrics};
use tracing::level_filters::LevelFilter;

use super::capacity::Demands;
use super::certificate::{Certificate, check_files};
use super::client::{ClientFlags, NAME};
use super::descriptors::{DescriptorWatch, Descriptors, raise_limit};
use super::fingerprint::Fingerprints;
use super::log::LineRates;
use super::network::{listen_address, listen_at};
use super::reload::{ReadConfig, Reload, read};
use super::signals::{Signals, Starter};
use super::stderr::print_line;
use super::traces::Traces;
use super::{allocator, log, proxy, stderr};

/// Serves clients over HTTP: GET /v1/NAME/items?x=KEY, /livez, /readyz.
///
/// SIGINT and SIGTERM start a graceful shutdown; a second signal exits immediately. SIGHUP reloads the configuration,
/// the components and the certificate; if one of them is not valid, nothing changes. A certificate whose files have
/// changed is reloaded without a signal, too.
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

    /// Shuts down when standard input ends, which is a pipe of the process that started this one.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,

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
    pub(super) async fn run(
        self,
        level: Option<LevelFilter>,
        signals: Signals,
    ) -> anyhow::Result<ExitCode> {
        stderr::start_queue();
        let starter = self.until_stdin_ends.then(Starter::of_stdin).transpose()?;
        let read_config: ReadConfig = Arc::new(move || self.config());
        let (hangup, shutdown) = signals.split(starter);
        let mut shutdown = Box::pin(shutdown);
        let config = tokio::select! {
            () = &mut shutdown => return Ok(ExitCode::SUCCESS),
            config = read(&read_config) => config?,
        };
        log::panics(config.log.format);
        let targets = log::at_level(level.unwrap_or(config.log.level));
        let (tracer, traces) = config.traces.as_ref().map(Traces::start).unzip();
        let rates = LineRates::default();
        log::start(targets, config.log.format, rates.clone(), tracer);
        if !config.clients.iter().all(ClientConfig::has_proxy) {
            proxy::warn_of_unused();
        }
        if let Err(error) = allocator::configure() {
            tracing::warn!(%error, "could not configure how long the allocator keeps free memory");
        }
        if let Err(error) = raise_limit() {
            tracing::warn!(%error, "could not raise the soft limit of open files to the hard one");
        }
        let descriptors = Descriptors::of(&config);
        if let Some(warning) = descriptors.warning(&config.limits) {
            tracing::warn!("{warning}");
        }
        let certificate = match &config.tls {
            // The files may be on a file system that hangs.
            Some(files) => tokio::select! {
                () = &mut shutdown => return Ok(ExitCode::SUCCESS),
                read = Certificate::read(files.clone()) => Some(read?),
            },
            None => None,
        };
        let tls = certificate.as_ref().map(Certificate::tls);
        let certificate = certificate.map(Mutex::new);
        // The files of Unix sockets are removed at the end.
        let (callers, address, _callers_file) = listen_at(&config.listen, "--listen")?;
        let admin = config.admin.as_ref();
        let admin = admin.map(|admin| listen_at(admin, "--admin")).transpose()?;
        let url_of_callers = url(if tls.is_some() { "https" } else { "http" }, &address);
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
        let limits = descriptors.within(&config.limits);
        let service = Service::new(Arc::clone(&clients), Arc::clone(&metrics), limits.clone());
        let listeners = Listeners {
            callers,
            tls,
            proxies: config.proxy_protocol_from.clone(),
            admin,
            admin_hosts: config.admin_hosts.iter().map(ToString::to_string).collect(),
        };
        let (engine, fingerprints) = (Engine::on_demand()?, Fingerprints::default());
        let (demands, descriptors) = (
            Demands::default(),
            DescriptorWatch::new(descriptors, &config.limits),
        );
        let reload = Reload {
            read: &read_config,
            started: &config,
            clients: &clients,
            fingerprints: &fingerprints,
            demands: &demands,
            descriptors: &descriptors,
            limits: &limits,
            engine: &engine,
            metrics: &metrics,
            rates: &rates,
            certificate: certificate.as_ref(),
            url: &url_of_callers,
        };
        let check_interval = config.limits.tls_check_interval;
        // In a task, so that loading here does not delay accepting.
        let serving = tokio::spawn(async move { service.run(listeners, shutdown).await });
        let ended = tokio::select! {
            ended = serving => ended.map(|()| ExitCode::SUCCESS).map_err(Into::into),
            failed = reload.run(hangup) => failed.map(|never| match never {}),
            never = check_files(certificate.as_ref(), check_interval) => match never {},
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
        config.registry = self.client.registry.over(config.registry);
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
