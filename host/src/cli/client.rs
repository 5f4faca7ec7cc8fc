//! The flags that describe a client, shared by `get` and `serve`, and the client that they describe.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use http::Uri;
use ipnet::IpNet;
use oneflight::upstream::{Origin, Roots};
use oneflight::{ComponentClient, Instances, Limits, Settings, Sharing};

use super::compile::CompileFlags;
use super::{load_builtin, load_file};

const EXAMPLE: &str = "'http://localhost:3000/items?id={x}'";

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
    allow: Vec<Origin>,

    /// Lets the names it may reach stand for addresses of this network, private ones included.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_net: Vec<IpNet>,

    /// Believes the certificates of this PEM file, and none of the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Tells [scheme://]host[:port] the flight's trace context, as a traceparent header.
    #[arg(long, value_name = "ORIGIN")]
    trace_to: Vec<Origin>,

    /// How long a flight may take in all, in seconds; a request gets four fifths of it.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    deadline: u32,

    /// Lets an idle instance of the client serve the next flight, for 1,000 calls or 60 s at most.
    ///
    /// Faster, above all for clients that are heavy to start; they remember earlier flights.
    #[arg(long)]
    reuse_instances: bool,

    /// Makes every call a flight of its own: what oneflight saves, seen from the other side.
    #[arg(long)]
    no_coalescing: bool,

    #[command(flatten)]
    compile: CompileFlags,
}

impl ClientFlags {
    /// Reads and compiles the client.
    pub(super) async fn load(&self) -> anyhow::Result<ComponentClient> {
        let settings = self.settings()?;
        let limits = &settings.limits;
        tracing::info!(instances = ?settings.instances, ?limits, "the client's limits");
        let engine = self.compile.engine(limits)?;
        Ok(match &self.component {
            None => load_builtin(&engine, settings).await?,
            Some(file) => load_file(&engine, file, settings)
                .await?
                .with_context(|| format!("cannot run {}", file.display()))?,
        })
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::new(NAME);
        settings.policy.allow.clone_from(&self.allow);
        settings.policy.nets.clone_from(&self.allow_net);
        settings.policy.trace.clone_from(&self.trace_to);
        if let Some(file) = &self.ca_file {
            settings.policy.roots = roots(file)?;
        }
        settings.env = self.environment()?;
        if self.reuse_instances {
            settings.instances = Instances::REUSED;
        }
        if self.no_coalescing {
            settings.sharing = Sharing::Observed;
        }
        settings.limits = Limits::default().with_flight(Duration::from_secs(self.deadline.into()));
        if self.component.is_none() {
            for (name, _) in &settings.env {
                known_to_the_built_in_client(name)?;
            }
        }
        let base_url = settings.env.iter().find(|(name, _)| name == "BASE_URL");
        match (base_url, &self.component) {
            // What an operator names as the upstream is allowed; for a component of theirs only by
            // the flag, since what a setting named BASE_URL means to it is its own affair.
            (Some((_, url)), component) if component.is_none() || self.base_url.is_some() => {
                settings.policy.allow.push(origin(url)?);
            }
            (None, None) => anyhow::bail!(
                "found no upstream for the built-in client; needed its URL: add --base-url {EXAMPLE}"
            ),
            _ => {}
        }
        Ok(settings)
    }

    /// The guest's environment; a name that is set twice is refused, since which one counts would be
    /// the guest's choice.
    fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut env: Vec<(String, String)> = Vec::new();
        let base_url = self
            .base_url
            .iter()
            .map(|url| ("BASE_URL".to_owned(), url.clone()));
        let set = self
            .set
            .iter()
            .map(|Setting(name, value)| (name.clone(), value.clone()));
        let from_env = self.set_from_env.iter().map(|name| {
            let value = std::env::var(name).with_context(|| {
                format!("found no text in the environment variable {name}; export it, or use --set")
            });
            anyhow::Ok((name.clone(), value?))
        });
        for setting in base_url.chain(set).map(Ok).chain(from_env) {
            let (name, value) = setting?;
            if env.iter().any(|(set, _)| *set == name) {
                anyhow::bail!("found {name} set twice; needed once: remove one of them");
            }
            env.push((name, value));
        }
        Ok(env)
    }
}

/// The origin of a BASE_URL. Its value may hold a secret, so a complaint does not repeat it.
fn origin(url: &str) -> anyhow::Result<Origin> {
    let parsed = url.replace("{x}", "x").parse::<Uri>().ok().and_then(|uri| {
        let (scheme, authority) = uri.scheme().zip(uri.authority())?;
        format!("{scheme}://{authority}").parse().ok()
    });
    parsed.with_context(|| {
        let found = if url.contains("://") {
            "another form of"
        } else {
            "no http:// in the"
        };
        format!("found {found} BASE_URL; needed http[s]://host[:port]/..., as in {EXAMPLE}")
    })
}

/// The certificates in a file.
fn roots(file: &Path) -> anyhow::Result<Roots> {
    let pem = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    Roots::from_pem(&pem).with_context(|| format!("cannot use {}", file.display()))
}

/// The built-in client would pass over a setting that it does not know, and a typing error with it.
fn known_to_the_built_in_client(name: &str) -> anyhow::Result<()> {
    if matches!(name, "BASE_URL" | "ITEMS_AT" | "ID_AT") || name.starts_with("HEADER_") {
        return Ok(());
    }
    anyhow::bail!(
        "found the setting {name}, which the built-in client does not know; \
         needed BASE_URL, HEADER_<NAME>, ITEMS_AT or ID_AT"
    )
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
