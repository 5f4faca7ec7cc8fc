//! [`ClientConfig`]: a client as a file or flags describe it, checked before anything is loaded.

mod certificates;
mod error;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client_settings::{BASE_URL, Problem};
use http::Uri;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::builtin;
use super::existing_file::expect_file;
use super::instances::InstancesSetting;
use super::text::{self, TextSetting};
use super::value::{self, SecretValue};
use super::value_error::ValueError;
use crate::model::{Abandoned, Limits, SharePattern, Sharing};
use crate::oci::{Access, Reference, ReferenceError, SCHEME};
use crate::settings::{ErrorValues, Instances, Settings};
use crate::typed::WideIntegers;
use crate::upstream::{AllowRule, ClientIdentity, Proxy, Roots, UpstreamPolicy};
use crate::wit::Wit;

pub use self::error::ClientConfigError;

/// A client, served at /v1/NAME/items?x=KEY.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table, as in [clients.orders]"
)]
pub struct ClientConfig {
    #[serde(skip)]
    name: String,

    /// The component that the client runs: the path of a file; oci://REGISTRY/NAME@sha256:DIGEST, or :TAG in place of the
    /// digest, for one in a registry; or builtin for the client that is part of oneflight. It is pulled when the
    /// client is loaded, and a tag is looked up at each reload; what is in the cache under its digest is not pulled again.
    #[schemars(with = "String")]
    pub component: Component,

    /// The URL of the upstream; its origin is allowed. The guest gets it as the environment variable BASE_URL. The
    /// built-in client replaces {x} in it by the key, or else appends ?x=KEY.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "SecretValue",
        example = "http://localhost:3000/orders?customer={x}"
    )]
    base_url: Option<SecretValue>,

    /// Origins to which the client may send requests, in addition to that of the upstream: `[scheme://]host[:port]`.
    /// `*.example.com` matches every subdomain of example.com.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<AllowRule>")]
    pub allow: Vec<AllowRule>,

    /// Networks to which the names of allowed origins may resolve, in addition to public addresses: for example private
    /// networks.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<IpNet>")]
    pub allow_net: Vec<IpNet>,

    /// Origins to which the flight's trace context is sent, as a traceparent header.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<AllowRule>")]
    pub trace_to: Vec<AllowRule>,

    /// A PEM file with the root certificates to trust instead of those of the system, for upstreams and for the registry
    /// of the component.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = "ca.pem")]
    ca_file: Option<PathBuf>,

    /// A PEM file with the certificate by which the client identifies itself to upstreams that request one, followed by
    /// the certificates between it and its root. Needs client_key.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = "client.pem")]
    client_certificate: Option<PathBuf>,

    /// A PEM file with the private key of client_certificate, not encrypted.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = "client-key.pem")]
    client_key: Option<PathBuf>,

    /// The HTTP proxy through which requests go: "environment", or `http://[user:password@]host[:port]`. "environment"
    /// uses HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, except for the hosts in NO_PROXY; names in lower case come first. By
    /// default no proxy is used. https goes through a tunnel (CONNECT) and is verified as without a proxy. Allowed
    /// origins are checked as always, literal addresses too, but the proxy resolves names, localhost too, so allow_net
    /// has no effect on them: let the proxy refuse private addresses. The proxy's own address is always permitted. The
    /// registry of the component is reached through it, too. Read a URL with a password from oneflight's own environment
    /// or from a file.
    #[serde(serialize_with = "show_proxy", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretValue", example = &"environment")]
    proxy: Option<SecretValue>,

    /// Whether instances of the guest are reused. "fresh": each flight gets a new instance. "reused": a flight gets an
    /// idle instance if there is one, and each instance serves up to 1,000 calls or 60 s, or what
    /// { max_calls = 100, max_age = "10s" } sets. Reuse is faster, above all for guests that are slow to start, but
    /// guests can remember earlier flights.
    #[serde(with = "InstancesSetting")]
    #[schemars(with = "InstancesSetting")]
    pub instances: Instances,

    /// Whether callers of one key share a flight.
    pub sharing: SharingSetting,

    /// Functions whose callers share a flight if their arguments are equal: `get-order`, or
    /// `acme:orders/orders#list-*` for those of one interface whose names begin with list-. Callers of other functions
    /// have a flight each, but for get-items of oneflight:client/items, which is always shared. List only functions that
    /// read: of several callers of a function that writes, one would
    /// write, and all would get the answer that they had.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<SharePattern>")]
    pub share: Vec<SharePattern>,

    /// The WIT from which the component was built, a file or a folder: its documentation comments become the descriptions
    /// in /v1/openapi.json. Components do not carry them. If its types are not those of the component, the client is not
    /// loaded.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = &"orders.wit")]
    wit: Option<PathBuf>,

    /// How JSON has integers of 64 bits (s64, u64): as numbers, or as strings for callers in JavaScript, whose numbers
    /// have 53 bits.
    wide_integers: WideIntegersSetting,

    /// Whether callers get the value of an error that a function returned, or its code only.
    error_values: ErrorValuesSetting,

    /// Maximum age of a flight that a caller joins. If it is not set, callers join a flight of any age.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<Duration>", example = "2s")]
    join_window: Option<Duration>,

    /// Whether a caller may request a new flight with Cache-Control: no-cache, instead of joining an open one. Each
    /// such call costs the upstream the request that sharing would save.
    allow_fresh: bool,

    /// What happens to a flight when its last caller leaves.
    #[serde(with = "AbandonedSetting")]
    #[schemars(with = "AbandonedSetting")]
    pub abandoned: Abandoned,

    /// A key that is called once at the start, at each reload, and by config check. If the call fails, the service does
    /// not start, or the reload changes nothing.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::schema::<String>", example = "42")]
    probe: Option<String>,

    /// Environment variables of the guest. The built-in client reads BASE_URL, `HEADER_<NAME>` (a header to send),
    /// ITEMS_AT (a JSON pointer to the items: an array, one object, or null for none), ID_AT (a JSON pointer to the id
    /// within an item) and ANSWER (with the value item, the answer is one item, whose id is the key). Read secrets from
    /// oneflight's own environment or from a file; a trailing line end is removed.
    #[serde(deserialize_with = "value::table")]
    #[schemars(example = setting_examples())]
    settings: BTreeMap<String, SecretValue>,

    /// The limits of the client.
    pub limits: Limits,

    /// What `wit` names.
    #[serde(skip)]
    described_by: Option<Arc<Wit>>,
    #[serde(skip)]
    roots: Roots,
    #[serde(skip)]
    identity: Option<ClientIdentity>,
    /// What `proxy` names. Set by [`complete`](ClientConfig::complete).
    #[serde(skip)]
    through: Option<Proxy>,
    /// The origin of the base URL, which is allowed. Set by [`complete`](ClientConfig::complete).
    #[serde(skip)]
    upstream: Option<AllowRule>,
}

fn setting_examples() -> serde_json::Value {
    serde_json::json!({
        "ITEMS_AT": "/orders",
        "ID_AT": "/number",
        "HEADER_AUTHORIZATION": { "env": "ORDERS_AUTHORIZATION" },
        "HEADER_X_API_KEY": { "file": "/run/secrets/orders-api-key" },
    })
}

/// The component that a client runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Component {
    /// The client that is part of this program.
    #[default]
    Builtin,
    /// The component in this file.
    File(PathBuf),
    /// The component of this artifact in a registry.
    Oci(Reference),
}

const BUILTIN: &str = "builtin";

/// The value of `proxy` for the proxies of the environment.
const ENVIRONMENT: &str = "environment";

/// Whether callers of one key share a flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SharingSetting {
    /// They share one flight.
    #[default]
    Coalesced,
    /// Every caller has its own flight, and the service counts what sharing would save.
    Observed,
}

/// How JSON has integers of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WideIntegersSetting {
    /// As numbers.
    #[default]
    Number,
    /// As strings.
    String,
}

/// Whether callers get the value of an error that a function returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ErrorValuesSetting {
    /// They get it.
    #[default]
    Public,
    /// They get its code. The log has the value.
    Private,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Abandoned", rename_all = "lowercase")]
enum AbandonedSetting {
    /// The flight is cancelled.
    Cancel,
    /// The flight continues, and later callers can join it.
    Finish,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self::new("")
    }
}

impl ClientConfig {
    /// The built-in client with default settings: without an upstream, and without allowed origins.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            component: Component::default(),
            base_url: None,
            allow: Vec::new(),
            allow_net: Vec::new(),
            trace_to: Vec::new(),
            ca_file: None,
            client_certificate: None,
            client_key: None,
            proxy: None,
            instances: Instances::default(),
            sharing: SharingSetting::default(),
            share: Vec::new(),
            wit: None,
            wide_integers: WideIntegersSetting::default(),
            error_values: ErrorValuesSetting::default(),
            join_window: None,
            allow_fresh: false,
            abandoned: Abandoned::default(),
            probe: None,
            settings: BTreeMap::new(),
            limits: Limits::default(),
            described_by: None,
            roots: Roots::default(),
            identity: None,
            through: None,
            upstream: None,
        }
    }

    /// The same with another name.
    pub(super) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The name by which callers address it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that is called once whenever the client is loaded.
    #[must_use]
    pub fn probe(&self) -> Option<&str> {
        self.probe.as_deref()
    }

    /// Sets the URL of the upstream: the setting `BASE_URL`, whose host the client may reach.
    pub fn set_base_url(&mut self, url: &str) {
        self.settings.remove(BASE_URL);
        self.base_url = Some(SecretValue::written(url));
    }

    /// Sets a variable of the guest's environment, in place of one that was set before.
    pub fn set(&mut self, name: &str, value: &str) {
        self.put(name, SecretValue::written(value));
    }

    /// Sets a variable of the guest's environment to the value of `variable` in oneflight's own, without a line end at
    /// its end.
    ///
    /// # Errors
    ///
    /// When there is no such variable, or it is not UTF-8.
    pub fn set_from_environment(
        &mut self,
        name: &str,
        variable: &str,
    ) -> Result<(), ClientConfigError> {
        self.put(name, SecretValue::from_environment(variable)?);
        Ok(())
    }

    fn put(&mut self, name: &str, value: SecretValue) {
        match &mut self.base_url {
            Some(base_url) if name == BASE_URL => *base_url = value,
            _ => drop(self.settings.insert(name.to_owned(), value)),
        }
    }

    /// Sends requests through a proxy: the one of this URL, or those of the environment for `environment`.
    pub fn set_proxy(&mut self, proxy: &str) {
        self.proxy = Some(SecretValue::written(proxy));
    }

    /// Whether it has a setting for a proxy.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// Reads the files and variables that the file names. Paths are relative to `folder`.
    pub(super) fn resolve(mut self, folder: &Path) -> Result<Self, ValueError> {
        let name = self.name.clone();
        let about =
            |setting: &str, why: &dyn Display| ValueError::about(&["clients", &name, setting], why);
        let about_variable = |variable: &str, why: &dyn Display| {
            ValueError::about(&["clients", &name, "settings", variable], why)
        };
        if let Component::File(file) = &mut self.component {
            *file = folder.join(&*file);
            expect_file(file).map_err(|found| about("component", &found))?;
        }
        if let Some(url) = &mut self.base_url {
            if self.settings.contains_key(BASE_URL) {
                let twice = ClientConfigError::SetTwice(BASE_URL.to_owned());
                return Err(about_variable(BASE_URL, &twice));
            }
            let read = url.resolve(folder);
            read.map_err(|why| about("base_url", &why))?;
        }
        if let Some(proxy) = &mut self.proxy {
            let read = proxy.resolve(folder);
            read.map_err(|why| about("proxy", &why))?;
        }
        for (variable, value) in &mut self.settings {
            let read = value.resolve(folder);
            read.map_err(|why| about_variable(variable, &why))?;
        }
        if let Some(file) = &mut self.wit {
            *file = folder.join(&*file);
            let wit = Wit::read(file).map_err(|why| about("wit", &why))?;
            self.described_by = Some(Arc::new(wit));
        }
        self.read_certificates(folder)
            .map_err(|(setting, why)| about(setting, &why))?;
        let base_url = self.base_url.is_some();
        self.complete().map_err(|why| match &why {
            ClientConfigError::Setting(error) if base_url && error.setting() == BASE_URL => {
                about("base_url", &why)
            }
            ClientConfigError::Setting(error) => about_variable(error.setting(), &why),
            ClientConfigError::BaseUrl => about("base_url", &why),
            ClientConfigError::Proxy(_) => about("proxy", &why),
            _ => ValueError::about(&["clients", &name], &why),
        })
    }

    /// Checks the client as a whole, and allows requests to the origin of its base URL.
    ///
    /// # Errors
    ///
    /// When the built-in client has no upstream, or would refuse one of its settings; when the base URL of another
    /// component has no origin; or when the proxy has no valid URL.
    pub fn complete(mut self) -> Result<Self, ClientConfigError> {
        let through = self.proxy.as_ref().map(|proxy| match &*proxy.text {
            ENVIRONMENT => Proxy::from_environment(),
            url => Proxy::from_url(url),
        });
        self.through = through.transpose().map_err(ClientConfigError::Proxy)?;
        self.upstream = match self.component {
            Component::Builtin => {
                let origin = builtin::check(self.variables());
                Some(origin.map_err(|error| match error.problem() {
                    Problem::NoUrl => ClientConfigError::NoUpstream,
                    _ => ClientConfigError::Setting(error),
                })?)
            }
            // A variable that happens to be called BASE_URL is not its upstream.
            Component::File(_) | Component::Oci(_) => match &self.base_url {
                Some(url) => Some(origin(&url.text).ok_or(ClientConfigError::BaseUrl)?),
                None => None,
            },
        };
        Ok(self)
    }

    /// The environment variables of the guest.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let base_url = self.base_url.iter().map(|url| (BASE_URL, &*url.text));
        let settings = self.settings.iter();
        base_url.chain(settings.map(|(name, value)| (&**name, &*value.text)))
    }

    /// How the registry of its component is reached.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            roots: self.roots.clone(),
            proxy: self.through.clone(),
        }
    }

    /// The settings with which the client is loaded.
    #[must_use]
    pub fn effective(&self) -> Settings {
        Settings {
            name: self.name.clone(),
            env: self
                .variables()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            policy: UpstreamPolicy {
                allow: self.allow.iter().chain(&self.upstream).cloned().collect(),
                nets: self.allow_net.clone(),
                trace: self.trace_to.clone(),
                roots: self.roots.clone(),
                identity: self.identity.clone(),
                proxy: self.through.clone(),
                ..UpstreamPolicy::default()
            },
            instances: self.instances,
            sharing: match self.sharing {
                SharingSetting::Observed => Sharing::Observed,
                SharingSetting::Coalesced => Sharing::Coalesced {
                    join_window: self.join_window,
                    allow_fresh: self.allow_fresh,
                },
            },
            share: self.share.clone(),
            wit: self.described_by.clone(),
            wide_integers: match self.wide_integers {
                WideIntegersSetting::Number => WideIntegers::Number,
                WideIntegersSetting::String => WideIntegers::String,
            },
            error_values: match self.error_values {
                ErrorValuesSetting::Public => ErrorValues::Public,
                ErrorValuesSetting::Private => ErrorValues::Private,
            },
            abandoned: self.abandoned,
            limits: self.limits.clone(),
        }
    }
}

/// A URL may have a password, so it is shown as a secret is.
fn show_proxy<S: Serializer>(
    proxy: &Option<SecretValue>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match proxy {
        Some(proxy) if *proxy == SecretValue::written(ENVIRONMENT) => {
            serializer.serialize_str(ENVIRONMENT)
        }
        proxy => proxy.serialize(serializer),
    }
}

/// The origin of a base URL whose rest only its component understands.
fn origin(url: &str) -> Option<AllowRule> {
    let uri = url.replace("{x}", "x").parse::<Uri>().ok()?;
    let (scheme, authority) = uri.scheme().zip(uri.authority())?;
    format!("{scheme}://{authority}").parse().ok()
}

impl Serialize for Component {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Component {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl TextSetting for Component {
    const FORM: &'static str = "a path in quotes, or oci://REGISTRY/NAME@sha256:DIGEST";

    fn read(text: &str) -> Result<Self, Option<String>> {
        match text {
            BUILTIN => Ok(Self::Builtin),
            place => Self::at(place.into()).map_err(|error| Some(error.to_string())),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Builtin => BUILTIN.to_owned(),
            other => other.to_string(),
        }
    }
}

impl Component {
    /// The one in a file, or in a registry if `place` begins with `oci://`.
    ///
    /// # Errors
    ///
    /// When what begins so is not a reference.
    pub fn at(place: OsString) -> Result<Self, ReferenceError> {
        match place.to_str().filter(|text| text.starts_with(SCHEME)) {
            Some(reference) => reference.parse().map(Self::Oci),
            None => Ok(Self::File(place.into())),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("the built-in client"),
            Self::File(file) => file.display().fmt(f),
            Self::Oci(reference) => reference.fmt(f),
        }
    }
}
