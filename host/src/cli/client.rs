//! The flags that describe a client, shared by `get` and `serve`, and the client that they describe.

use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use oneflight::config::{ClientConfig, Component};
use oneflight::upstream::AllowRule;
use oneflight::{ComponentClient, Engine, Instances, Sharing};

use super::compile::CompileFlags;
use super::loading::{load_builtin, load_file};

/// The name of the client that flags describe.
pub(super) const NAME: &str = "default";

#[derive(Args, Debug)]
#[command(next_help_heading = "The client")]
pub(super) struct ClientFlags {
    /// The component to run, instead of the built-in client.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,

    /// The upstream's URL: the client's setting BASE_URL, and leave to reach that host.
    ///
    /// The built-in client puts the key where the URL says {x}, or appends it as ?x=KEY.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// A setting of the client: a variable of its environment.
    ///
    /// The built-in client knows BASE_URL, HEADER_<NAME> (a header to send), ITEMS_AT (a JSON
    /// pointer to the array of items) and ID_AT (one to the id within an item, /id by default).
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Setting>,

    /// A setting whose value is taken from oneflight's own environment: for secrets.
    #[arg(long, value_name = "NAME")]
    set_from_env: Vec<String>,

    /// Lets the client reach [scheme://]host[:port]; *.example.com is every name below example.com.
    #[arg(long, value_name = "ORIGIN")]
    allow: Vec<AllowRule>,

    /// Lets the names it may reach stand for addresses of this network, private ones included.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_net: Vec<IpNet>,

    /// Believes the certificates of this PEM file, and none of the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Tells [scheme://]host[:port] the flight's trace context, as a traceparent header.
    #[arg(long, value_name = "ORIGIN")]
    trace_to: Vec<AllowRule>,

    /// How long a flight may take in all, in seconds; a request gets four fifths of it. [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    deadline: Option<u32>,

    /// Lets an idle instance of the client serve the next flight, for 1,000 calls or 60 s at most.
    ///
    /// Faster, above all for clients that are heavy to start; they remember earlier flights.
    #[arg(long)]
    reuse_instances: bool,

    /// Shares nothing: every call is a flight of its own. What sharing would save is counted, for oneflight
    /// observe.
    #[arg(long)]
    no_coalescing: bool,

    #[command(flatten)]
    pub(super) compile: CompileFlags,
}

impl ClientFlags {
    /// Reads and compiles the client that these flags alone describe.
    pub(super) async fn load(&self) -> anyhow::Result<ComponentClient> {
        let client = self.over(ClientConfig::new(NAME))?;
        let engine = self.compile.engine(&client.settings.limits)?;
        load_client(&engine, &client).await
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
            trace_to,
            deadline,
            reuse_instances,
            no_coalescing,
            compile: _,
        } = self;
        component.is_some()
            || base_url.is_some()
            || ca_file.is_some()
            || deadline.is_some()
            || !(set.is_empty() && set_from_env.is_empty())
            || !(allow.is_empty() && allow_net.is_empty() && trace_to.is_empty())
            || *reuse_instances
            || *no_coalescing
    }

    /// `client`, where these flags do not say otherwise; lists grow by theirs.
    pub(super) fn over(&self, mut client: ClientConfig) -> anyhow::Result<ClientConfig> {
        if let Some(file) = &self.component {
            client.component = Component::File(file.clone());
        }
        self.set_all(&mut client)?;
        if let Some(file) = &self.ca_file {
            client.set_ca_file(file)?;
        }
        let settings = &mut client.settings;
        settings.policy.allow.extend_from_slice(&self.allow);
        settings.policy.nets.extend_from_slice(&self.allow_net);
        settings.policy.trace.extend_from_slice(&self.trace_to);
        if self.reuse_instances {
            settings.instances = Instances::REUSED;
        }
        if self.no_coalescing {
            settings.sharing = Sharing::Observed;
        }
        if let Some(seconds) = self.deadline {
            let limits = std::mem::take(&mut settings.limits);
            settings.limits = limits.with_flight_timeout(Duration::from_secs(seconds.into()));
        }
        client.complete()
    }

    /// The guest's environment; a name that is set twice here is refused, since which one counts would
    /// be chance.
    fn set_all(&self, client: &mut ClientConfig) -> anyhow::Result<()> {
        let base_url = self.base_url.iter().map(|_| "BASE_URL");
        let set = self.set.iter().map(|Setting(name, _)| &**name);
        let from_env = self.set_from_env.iter().map(|name| &**name);
        let mut names = HashSet::new();
        for name in base_url.chain(set).chain(from_env) {
            if !names.insert(name) {
                anyhow::bail!("found {name} set twice; needed once: remove one of them");
            }
        }
        if let Some(url) = &self.base_url {
            client.set_base_url(url);
        }
        for Setting(name, value) in &self.set {
            client.set(name, value);
        }
        for name in &self.set_from_env {
            client.set_from_environment(name, name)?;
        }
        Ok(())
    }
}

/// Compiles and checks a client, and says in the log what it is held to.
pub(super) async fn load_client(
    engine: &Engine,
    client: &ClientConfig,
) -> anyhow::Result<ComponentClient> {
    let settings = client.effective();
    let (name, limits) = (&settings.name, &settings.limits);
    tracing::info!(client = name, instances = ?settings.instances, ?limits, "the client's limits");
    match &client.component {
        Component::Builtin => Ok(load_builtin(engine, settings).await?),
        Component::File(file) => load_file(engine, file, settings)
            .await?
            .with_context(|| format!("cannot run {}", file.display())),
    }
}

/// `NAME=VALUE`.
#[derive(Clone, Debug)]
struct Setting(String, String);

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.into(), value.into())),
            _ => Err("needed NAME=VALUE, as in ITEMS_AT=/data"),
        }
    }
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse()
        .map_err(|_| "needed a network, as in 10.0.0.0/8 or 10.1.2.3/32")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
    fn each_flag_is_in_what_it_describes() {
        let client = described(&[
            "--base-url=http://a.example/{x}",
            "--set=ITEMS_AT=/data",
            "--allow=https://b.example",
            "--allow-net=10.0.0.0/8",
            "--allow-net=fd00::/8",
            "--trace-to=c.example:1",
            "--deadline=20",
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

        // What is in such a file is looked at at once, and it is the only flag that names one of these.
        let refused = described(&["--component=a.wasm", "--ca-file=no/such.pem"]).unwrap_err();
        assert!(refused.to_string().contains("no/such.pem"), "{refused}");
    }
}
