//! The flags that describe a client, shared by `get` and `serve`, and the client that they describe. Their help is
//! that of the settings in a configuration file.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use ipnet::IpNet;
use oneflight::config::{
    ClientConfig, ClientConfigError, CompileConfig, Component, RegistryConfig, SharingSetting,
    describe, summarize,
};
use oneflight::model::SharePattern;
use oneflight::model::setting::LimitTable;
use oneflight::oci::Artifact;
use oneflight::upstream::AllowRule;
use oneflight::{
    Call, Client, ClientError, ClientMetrics, ComponentClient, Freshness, Instances, Limits,
    Request, Stack,
};

use super::compile::CompileFlags;
use super::flag::{RenamedFlag, limit, renamed};
use super::loading::{ComponentBytes, LoadContext, load};
use super::registries::RegistryFlags;

/// The name of the client that flags describe.
pub(super) const NAME: &str = "default";

#[derive(Args, Debug)]
#[command(next_help_heading = "The client")]
pub(super) struct ClientFlags {
    #[arg(long, value_name = "FILE", value_parser = component(), help = summarize("clients.NAME.component"), long_help = describe("clients.NAME.component"))]
    component: Option<Component>,

    #[arg(long, value_name = "URL", help = summarize("clients.NAME.base_url"), long_help = describe("clients.NAME.base_url"))]
    base_url: Option<String>,

    #[arg(long, value_name = "NAME=VALUE", help = summarize("clients.NAME.settings"), long_help = describe("clients.NAME.settings"))]
    set: Vec<Variable>,

    /// Sets an environment variable of the guest to the value that it has in oneflight's own environment. Use this
    /// for secrets.
    #[arg(long, value_name = "NAME")]
    set_from_env: Vec<String>,

    #[arg(long, value_name = "ORIGIN", help = summarize("clients.NAME.allow"), long_help = describe("clients.NAME.allow"))]
    allow: Vec<AllowRule>,

    #[arg(long, value_name = "CIDR", value_parser = network, help = summarize("clients.NAME.allow_net"), long_help = describe("clients.NAME.allow_net"))]
    allow_net: Vec<IpNet>,

    #[arg(long, value_name = "FILE", help = summarize("clients.NAME.ca_file"), long_help = describe("clients.NAME.ca_file"))]
    ca_file: Option<PathBuf>,

    #[arg(long, value_name = "FILE", requires = "client_key", help = summarize("clients.NAME.client_certificate"), long_help = describe("clients.NAME.client_certificate"))]
    client_certificate: Option<PathBuf>,

    #[arg(long, value_name = "FILE", requires = "client_certificate", help = summarize("clients.NAME.client_key"), long_help = describe("clients.NAME.client_key"))]
    client_key: Option<PathBuf>,

    #[arg(long, value_name = "URL", help = summarize("clients.NAME.proxy"), long_help = describe("clients.NAME.proxy"))]
    proxy: Option<String>,

    #[arg(long, value_name = "ORIGIN", help = summarize("clients.NAME.trace_to"), long_help = describe("clients.NAME.trace_to"))]
    trace_to: Vec<AllowRule>,

    #[arg(
        long,
        value_name = "TIME",
        value_parser = limit("flight_timeout", |limits: &Limits| limits.flight_timeout),
        help = summarize("clients.NAME.limits.flight_timeout"), long_help = describe("clients.NAME.limits.flight_timeout")
    )]
    flight_timeout: Option<Duration>,

    #[arg(long, hide = true, value_name = "SECONDS", value_parser = renamed("--flight-timeout", "s"))]
    deadline: Option<RenamedFlag>,

    /// Reuses each instance of the guest for up to 1,000 calls or 60 s.
    ///
    /// This is faster, above all for guests that are slow to start, but guests can remember earlier flights. The same
    /// as instances = "reused" in a configuration file.
    #[arg(long)]
    reuse_instances: bool,

    /// Disables sharing: every caller has its own flight, and oneflight counts what sharing would save.
    ///
    /// `oneflight observe` reports these counts. The same as sharing = "observed" in a configuration file.
    #[arg(long)]
    no_coalescing: bool,

    #[command(flatten)]
    pub(super) compile: CompileFlags,

    #[command(flatten)]
    pub(super) registry: RegistryFlags,
}

/// Reads the argument of a component: a path, or a reference of a registry.
pub(super) fn component() -> impl TypedValueParser<Value = Component> {
    OsStringValueParser::new().try_map(Component::at)
}

impl ClientFlags {
    /// Reads and compiles the client that these flags alone describe.
    pub(super) async fn load(&self) -> anyhow::Result<ComponentClient> {
        self.load_sharing(&[]).await
    }

    /// The same, with shared calls of the functions that `share` names.
    pub(super) async fn load_sharing(
        &self,
        share: &[SharePattern],
    ) -> anyhow::Result<ComponentClient> {
        let mut client = ClientConfig::new(NAME);
        client.share = share.to_vec();
        let client = self.over(client)?;
        let compile = self.compile.over(CompileConfig::default());
        let registry = self.registry.over(RegistryConfig::default());
        let context = LoadContext::new(&compile, &registry)?;
        Ok(load_client(&context, &client).await?.component)
    }

    /// Whether they set a proxy.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// Whether any of them describes a client.
    pub(super) fn any(&self) -> bool {
        let Self {
            component,
            base_url,
            set,
            set_from_env,
            allow,
            allow_net,
            ca_file,
            client_certificate,
            client_key,
            proxy,
            trace_to,
            flight_timeout,
            deadline: _,
            reuse_instances,
            no_coalescing,
            compile: _,
            registry: _,
        } = self;
        component.is_some()
            || base_url.is_some()
            || ca_file.is_some()
            || client_certificate.is_some()
            || client_key.is_some()
            || proxy.is_some()
            || flight_timeout.is_some()
            || !(set.is_empty() && set_from_env.is_empty())
            || !(allow.is_empty() && allow_net.is_empty() && trace_to.is_empty())
            || *reuse_instances
            || *no_coalescing
    }

    /// `client` with the settings of these flags; lists are extended.
    pub(super) fn over(&self, mut client: ClientConfig) -> anyhow::Result<ClientConfig> {
        if let Some(component) = &self.component {
            client.component = component.clone();
        }
        self.set_all(&mut client)?;
        if let Some(file) = &self.ca_file {
            client.set_ca_file(file)?;
        }
        if let Some((certificate, key)) = self
            .client_certificate
            .as_ref()
            .zip(self.client_key.as_ref())
        {
            client.set_identity(certificate, key)?;
        }
        if let Some(proxy) = &self.proxy {
            client.set_proxy(proxy);
        }
        client.allow.extend_from_slice(&self.allow);
        client.allow_net.extend_from_slice(&self.allow_net);
        client.trace_to.extend_from_slice(&self.trace_to);
        if self.reuse_instances {
            client.instances = Instances::REUSED;
        }
        if self.no_coalescing {
            client.sharing = SharingSetting::Observed;
        }
        if let Some(timeout) = self.flight_timeout {
            client.limits = client.limits.with_flight_timeout(timeout);
        }
        Ok(client.complete()?)
    }

    /// Sets the guest's environment. A name that is set twice here is refused, since either value could be meant.
    fn set_all(&self, client: &mut ClientConfig) -> anyhow::Result<()> {
        let base_url = self.base_url.iter().map(|_| "BASE_URL");
        let set = self.set.iter().map(|Variable(name, _)| &**name);
        let from_env = self.set_from_env.iter().map(|name| &**name);
        let mut names = HashSet::new();
        for name in base_url.chain(set).chain(from_env) {
            if !names.insert(name) {
                return Err(ClientConfigError::SetTwice(name.to_owned()).into());
            }
        }
        if let Some(url) = &self.base_url {
            client.set_base_url(url);
        }
        for Variable(name, value) in &self.set {
            client.set(name, value);
        }
        for name in &self.set_from_env {
            client.set_from_environment(name, name)?;
        }
        Ok(())
    }
}

/// A client that was compiled and checked.
pub(super) struct CheckedClient {
    pub(super) component: ComponentClient,
    /// What its component was pulled as.
    pub(super) artifact: Option<Artifact>,
}

/// Reads, compiles and checks a client, logs its limits, and calls it once if its settings have a probe.
pub(super) async fn load_client(
    context: &LoadContext,
    client: &ClientConfig,
) -> anyhow::Result<CheckedClient> {
    let settings = client.effective();
    let (name, limits) = (&settings.name, &settings.limits);
    let instances = match settings.instances {
        Instances::Fresh => "fresh".to_owned(),
        Instances::Reused(reuse) => match reuse.changed() {
            changed if changed.is_empty() => "reused".to_owned(),
            changed => format!("reused, {changed}"),
        },
    };
    let limits = match limits.changed() {
        changed if changed.is_empty() => "all by default".to_owned(),
        changed => format!("{changed}; others by default"),
    };
    tracing::info!(client = name, %instances, %limits, "the client's limits");
    let place = &client.component;
    let cannot_run = || format!("cannot run {place}");
    let read = context.read(place, &client.access()).await?;
    let ComponentBytes { binary, artifact } = read.with_context(cannot_run)?;
    let component = load(&context.engine, place, binary, settings)
        .await
        .with_context(cannot_run)?;
    if let Some(key) = client.probe() {
        let metrics = ClientMetrics::default();
        let stack = Stack::new(component.clone(), component.settings(), metrics);
        probe(&stack, key).await?;
    }
    Ok(CheckedClient {
        component,
        artifact,
    })
}

/// Calls the client with this key, within its limits, in a flight of its own.
pub(super) async fn probe(client: &impl Client, key: &str) -> Result<(), ProbeError> {
    let request = Request {
        freshness: Freshness::New,
        ..Call::from(key).into()
    };
    let result = client.call(request).await.result;
    result.map(drop).map_err(ProbeError)
}

/// The call of a probe has failed.
#[derive(Debug)]
pub(super) struct ProbeError(pub(super) ClientError);

impl Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        write!(
            f,
            "expected items for the key of probe, got {}: {error}; correct the client's settings or the key, or \
             remove probe",
            error.code()
        )
    }
}

impl std::error::Error for ProbeError {}

/// `NAME=VALUE`.
#[derive(Clone, Debug)]
pub(super) struct Variable(pub(super) String, pub(super) String);

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.into(), value.into())),
            _ => Err("expected NAME=VALUE, as in ITEMS_AT=/data"),
        }
    }
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse()
        .map_err(|_| "expected a network, as in 10.0.0.0/8 or 10.1.2.3/32")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use oneflight::Sharing;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        client: ClientFlags,
    }

    fn described(flags: &[&str]) -> anyhow::Result<ClientConfig> {
        let line = [&["get"], flags].concat();
        Line::try_parse_from(line)?
            .client
            .over(ClientConfig::new(NAME))
    }

    #[test]
    fn each_flag_sets_what_it_describes() {
        let client = described(&[
            "--base-url=http://a.example/{x}",
            "--set=ITEMS_AT=/data",
            "--allow=https://b.example",
            "--allow-net=10.0.0.0/8",
            "--allow-net=fd00::/8",
            "--trace-to=c.example:1",
            "--flight-timeout=20s",
            "--reuse-instances",
            "--no-coalescing",
        ]);
        let settings = client.unwrap().effective();
        let allowed: Vec<_> = settings
            .policy
            .allow
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(allowed, ["https://b.example", "http://a.example"]);
        let nets: Vec<_> = settings
            .policy
            .nets
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(nets, ["10.0.0.0/8", "fd00::/8"]);
        assert_eq!(settings.policy.trace[0].to_string(), "c.example:1");
        assert_eq!(settings.limits.flight_timeout, Duration::from_secs(20));
        assert_eq!(settings.limits.request_timeout, Duration::from_secs(16));
        assert_eq!(settings.instances, Instances::REUSED);
        assert_eq!(settings.sharing, Sharing::Observed);
        assert!(settings.env.contains(&("ITEMS_AT".into(), "/data".into())));

        let client = described(&["--component=a.wasm", "--set-from-env=PATH"]).unwrap();
        assert_eq!(client.component, Component::File("a.wasm".into()));
        let path = std::env::var("PATH").unwrap();
        assert_eq!(client.effective().env, [("PATH".to_owned(), path)]);

        // A CA file is read when the flags are parsed.
        let refused = described(&["--component=a.wasm", "--ca-file=no/such.pem"]).unwrap_err();
        assert!(refused.to_string().contains("no/such.pem"), "{refused}");
    }

    #[test]
    fn a_flag_with_its_old_name_is_refused_with_the_new_one() {
        for (old, new) in [
            ("--deadline=7", "--flight-timeout 7s"),
            ("--compile-memory=512", "--compile-max-memory-bytes 512MiB"),
            ("--compile-cpu=30", "--compile-max-cpu-time 30s"),
        ] {
            let refused = described(&[old]).unwrap_err().to_string();
            assert!(refused.contains(&format!("write {new}")), "{refused}");
        }
    }

    #[test]
    fn a_limit_is_written_as_in_a_file() {
        for (flag, expected) in [
            ("--flight-timeout=10", "a number with ms, s, m or h"),
            ("--flight-timeout=0s", "at least 1ms"),
            ("--compile-max-memory-bytes=1 MiB", "at least 256 MiB"),
        ] {
            let refused = described(&[flag]).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
